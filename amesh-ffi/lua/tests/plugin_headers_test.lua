local case = require("plugin_case")
local fake = require("fake")
local forward = require("amesh.plugin.forward")
local response = require("amesh.plugin.response")
local equal = fake.equal


--- A header's values, joined by `;`, after a request went through.
local function sent(steps, name, request)
    request = request or {}
    request.headers = request.headers or {}
    request.var = request.var or {}
    case.run(forward, "rewrite", {headers = steps}, request)
    local value = request.headers[name]
    return type(value) == "table" and table.concat(value, ";") or value
end

local function add(name, value, action)
    return {name = name, value = value, action = action or "append"}
end

--- What a format makes of a request.
local function made(format, request)
    return sent({{add = {add("x-made", format)}}}, "x-made", request)
end

--- What a format makes of a response.
local function answered(format, request, answer)
    request.headers = request.headers or {}
    local nginx = case.run(response, "header_filter", {headers = {{add = {add("x-made", format)}}}}, request, answer)
    return nginx.response.headers["x-made"]
end


-- Names in brackets are those of the observations of a real Envoy.
return {
    {"added to what is there, a line for each [SEM-O01]", function()
        equal(sent({{add = {add("x-a", "new")}}}, "x-a", {headers = {["x-a"] = "old"}}), "old;new")
        equal(sent({{add = {add("x-a", "new")}}}, "x-a"), "new")
        equal(sent({{add = {add("x-a", "3")}}}, "x-a", {headers = {["x-a"] = {"1", "2"}}}), "1;2;3")
    end},
    {"some headers have one line [SEM-O01]", function()
        equal(sent({{add = {add("accept", "new")}}}, "accept", {headers = {accept = "old"}}), "old,new")
    end},
    {"four actions [SEM-O01]", function()
        local there = function() return {headers = {["x-a"] = "old"}} end
        equal(sent({{add = {add("x-a", "new", "overwrite")}}}, "x-a", there()), "new")
        equal(sent({{add = {add("x-a", "new", "overwrite")}}}, "x-a"), "new")
        equal(sent({{add = {add("x-a", "new", "add_if_absent")}}}, "x-a", there()), "old")
        equal(sent({{add = {add("x-a", "new", "add_if_absent")}}}, "x-a"), "new")
        equal(sent({{add = {add("x-a", "new", "overwrite_if_exists")}}}, "x-a", there()), "new")
        equal(sent({{add = {add("x-a", "new", "overwrite_if_exists")}}}, "x-a"), nil)
    end},
    {"removals come before additions, and the last step wins [SEM-O02, SEM-O03]", function()
        local step = {remove = {"x-a"}, add = {add("x-a", "new")}}
        equal(sent({step}, "x-a", {headers = {["x-a"] = "old"}}), "new")
        equal(sent({{add = {add("x-a", "1", "overwrite")}}, {add = {add("x-a", "2", "overwrite")}}}, "x-a"), "2")
    end},
    {"values are made before any is added, and what replaces comes first", function()
        local additions = {add("x-a", {{command = "req", name = "x-a"}, "+"}), add("x-a", "new", "overwrite")}
        equal(sent({{add = additions}}, "x-a", {headers = {["x-a"] = "old"}}), "new;old+")
    end},
    {"an empty value is not added [SEM-O04]", function()
        equal(made({{command = "req", name = "none"}}), nil)
        equal(made({"a-", {command = "req", name = "none"}, "-b"}), "a--b")
    end},
    {"headers of the request [SEM-O04]", function()
        local request = {headers = {["x-a"] = {"one", "two"}}, target = "/p?q", var = {request_method = "PUT",
            http_host = "H", scheme = "http"}}
        equal(made({{command = "req", name = "x-a"}}, request), "one")
        equal(made({{command = "req", name = "x-b", otherwise = "x-a", max = 2}}, request), "one;on")
        request.headers["x-made"] = nil
        local all = {}
        for _, name in ipairs({":path", ":method", ":authority", ":scheme"}) do
            all[#all + 1] = {command = "req", name = name}
            all[#all + 1] = " "
        end
        equal(made(all, request), "/p?q PUT H http ")
    end},
    {"addresses [SEM-O04]", function()
        local var = {remote_addr = "::1", remote_port = "7", server_addr = "10.0.0.1", server_port = "80"}
        local function one(name) return made({{command = name}}, {var = var}) end
        equal(one("downstream_remote_address"), "[::1]:7")
        equal(one("downstream_remote_address_without_port"), "::1")
        equal(one("downstream_local_address"), "10.0.0.1:80")
        var.connection_original_dst = "10.9.9.9:8080"
        equal(one("downstream_local_address"), "10.9.9.9:8080")
        equal(one("downstream_local_port"), "8080")
        equal(one("downstream_direct_local_port"), "80")
    end},
    {"the client's address that a header tells [SEM-O04]", function()
        local function one(name, hop, forwarded)
            return made({{command = name, hop = hop}}, {headers = {["x-forwarded-for"] = forwarded},
                var = {remote_addr = "9.9.9.9", remote_port = "7"}})
        end
        equal(one("downstream_remote_address", 1, "1.1.1.1, 2.2.2.2"), "2.2.2.2:0")
        equal(one("downstream_remote_address_without_port", 2, {"1.1.1.1", "2.2.2.2"}), "1.1.1.1")
        equal(one("downstream_remote_address_without_port", 1, "::1"), "::1")
        equal(one("downstream_remote_port", 1, "1.1.1.1"), "0")
        for _, no in ipairs({"1.1.1.1", "unknown, x", "", "unknown,2.2.2.2:80"}) do
            equal(one("downstream_remote_address", no == "1.1.1.1" and 2 or 1, no), "9.9.9.9:7")
        end
    end},
    {"the protocol as Envoy calls it [SEM-O04]", function()
        equal(made({{command = "protocol"}}, {var = {server_protocol = "HTTP/1.1"}}), "HTTP/1.1")
        equal(made({{command = "protocol"}}, {var = {server_protocol = "HTTP/2.0"}}), "HTTP/2")
    end},
    {"times [SEM-O04]", function()
        local function at(format) return made({{command = "start_time", format = format}}, {time = 1795578530.894}) end
        equal(at(nil), "2026-11-25T03:48:50.894Z")
        equal(at("%s.%3f %H:%M:%S.%f %E2S %E0S"), "1795578530.894 03:48:50.894000000 50.89 50")
        equal(at("%Y/%m/%dT%T%z"), "2026/11/25T03:48:50+0000")
    end},
    {"what only a response has", function()
        local answer = {status = 200, headers = {["x-up"] = "one"}}
        local var = {upstream_status = "200", upstream_addr = "1.1.1.1:1, 2.2.2.2:2", upstream_http_server = "echo"}
        equal(answered({{command = "upstream_host"}}, {var = var}, answer), "2.2.2.2:2")
        answer.headers["x-made"] = nil
        equal(answered({{command = "resp", name = "x-up"}, {command = "response_code"}, {command = "resp",
            name = "server"}}, {var = var}, answer), "one200echo")
        equal(made({{command = "response_code"}, {command = "resp", name = "x-up"}}), "0")
    end},
    {"an answer without an upstream has no status, type or length yet [SEM-D01, SEM-O06]", function()
        local steps = {{remove = {"content-length"}, add = {add("content-type", "a/b"), add("x-made",
            {{command = "response_code"}, {command = "resp", name = "content-type"}})}}}
        local nginx = case.run(response, "header_filter", {headers = steps}, {var = {}},
            {status = 200, headers = {["content-type"] = "text/plain", ["content-length"] = "2"}})
        equal(nginx.response.headers["content-type"], "a/b")
        equal(nginx.response.headers["content-length"], "2")
        equal(nginx.response.headers["x-made"], "0")
        nginx = case.run(response, "header_filter", {headers = {}}, {var = {}},
            {status = 200, headers = {["content-type"] = "text/plain"}})
        equal(nginx.response.headers["content-type"], "text/plain")
    end},
    {"what is not understood is refused", function()
        local function refused(addition) return case.refused(forward, {headers = {{add = {addition}}}}) end
        fake.contains(refused(add("x", "y", "merge")), "action merge is not known")
        fake.contains(refused(add("x", {{command = "metadata"}})), "command metadata is not known")
        fake.contains(refused(add("x", {{command = "req"}})), "req.name is missing")
        fake.contains(refused(add("x", {{command = "protocol", other = 1}})), "command.other is not known")
        fake.contains(refused({name = "x", action = "append"}), "add.value is missing")
        fake.contains(case.refused(response, {header = {}}), "amesh-response.header is not known")
    end},
}
