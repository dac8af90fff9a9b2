local answer = require("amesh.plugin.answer")
local case = require("plugin_case")
local fake = require("fake")
local forward = require("amesh.plugin.forward")
local paths = require("amesh.path")
local response = require("amesh.plugin.response")
local equal = fake.equal


--- A path as a connection manager writes it, or the status with which it ends a request, and the location.
local function written(target, conf)
    local path, status, location = assert(paths.compile(conf or {normalize = true}))(target)
    return path or status, location
end

--- What an upstream gets of a request.
local function forwarded(conf, request, phase)
    request.headers = request.headers or {}
    request.var = request.var or {http_host = "a.example"}
    local nginx = case.run(forward, phase or "rewrite", conf, request)
    return nginx.response, request.headers
end


-- Names in brackets are those of the observations of a real Envoy.
return {
    {"ordinary paths stay as they are [SEM-P14, SEM-P15]", function()
        for _, path in ipairs({"/", "/a/b?c=/../d%41", "//a//b", "/a%2Fb%2f%5C%20%zz", "/a/...;/c", "/;/a", "*", "/a..b/c.",
            "/a/b/;../c", "/a;x=1/b"}) do
            equal(written(path), path)
        end
        equal(written("/./a/%41", {}), "/./a/%41")
    end},
    {"normalized paths [SEM-P15]", function()
        for from, to in pairs({
            ["/a/./b"] = "/a/b", ["/a/../a/b"] = "/a/b", ["/x/../../a/b"] = "/a/b", ["/a\\b"] = "/a/b", ["/%61/b"] = "/a/b",
            ["/a/%2e%2e/x"] = "/x", ["/%7Ea?%7E"] = "/~a?%7E", ["/a/b/..;/c"] = "/a/c", ["/a/.;x/c"] = "/a/c",
            ["/a/b/..;"] = "/a/", ["/a/%2e%2e;/x"] = "/a/..;/x", ["/a//../b"] = "/a/b", ["/.."] = "/", ["/a/."] = "/a/",
            ["/a/b/../"] = "/a/", ["/a/b/..?q/../x"] = "/a/?q/../x", ["/a\"<>^`{|}"] = "/a%22%3C%3E%5E%60%7B%7C%7D",
            ["/a\\..\\b"] = "/b", ["/a/b;/..;/c"] = "/a/c",
        }) do
            equal(written(from), to)
        end
        equal(written("/a%00"), 400)
        equal(written("/a#b"), 400)
    end},
    {"merged slashes [SEM-P16]", function()
        equal(written("//a///b//?//", {merge_slashes = true}), "/a/b/?//")
    end},
    {"escaped slashes [SEM-P17]", function()
        equal(written("/a%2Fb%5c..%2F?%2F", {normalize = true, escaped_slashes = "unescape"}), "/a/?%2F")
        equal(written("/a%2fb", {escaped_slashes = "reject"}), 400)
        equal(written("/a?%2f", {escaped_slashes = "reject"}), "/a?%2f")
        local status, location = written("/a%2fb?c", {normalize = true, escaped_slashes = "redirect"})
        equal(status, 307)
        equal(location, "/a/b?c")
    end},
    {"the path that conditions compare", function()
        local variables = paths.variables()
        local function read(name, target)
            return variables["amesh_path" .. name](target)
        end
        equal(read("", "/a/../b//c%2Fd?q/../"), "/a/../b//c%2Fd")
        equal(read("_normalized", "/a/../b//c%2Fd?q"), "/b//c%2Fd")
        equal(read("_merged", "//a//b?"), "/a/b")
        equal(read("_normalized_merged", "/a/.././b//c%2fd"), "/b/c%2fd")
        equal(read("_unescaped", "/a%2Fb"), "/a/b")
        equal(read("_normalized_merged_unescaped", "/a%2F..%2F/b"), "/b")
        -- Envoy refuses these.
        equal(read("_normalized", "/a%00?b"), "/a%00")
        equal(read("", "/a#b?c"), "/a#b")
    end},
    {"a path that was not changed is forwarded by nginx as it came", function()
        equal(forwarded({path = {normalize = true}}, {target = "/a"}).path, nil)
        equal(forwarded({path = {normalize = true}}, {target = "/%61"}).path, "/a")
        equal(forwarded({path = {normalize = true}}, {target = "/%00"}).status, 400)
    end},
    {"rewritten paths, and what they were [SEM-W01, SEM-W02, SEM-W03, SEM-W07]", function()
        local got, headers = forwarded({rewrite = {cut = 4, put = "/new"}}, {target = "/oldx?q"})
        equal(got.path, "/newx?q")
        equal(headers["x-envoy-original-path"], "/oldx?q")
        equal(forwarded({rewrite = {cut = 6, put = "/"}}, {target = "/slash/x"}).path, "//x")
        equal(forwarded({rewrite = {put = "/n"}}, {target = "/rx/abc?q=1"}).path, "/n?q=1")
        equal(forwarded({rewrite = {pattern = "one", put = "two"}}, {target = "/one/one?one"}).path, "/two/two?one")
    end},
    {"a gRPC upstream gets it too", function()
        local module = {name = forward.name, priority = 1, compile = forward.compile, rewrite = function(conf, ctx, nginx)
            forward.rewrite(conf, ctx, nginx)
            forward.before_proxy(conf, ctx, nginx)
        end}
        local request = {target = "/a.B/C", grpc = true, headers = {}, var = {}}
        equal(case.run(module, "rewrite", {rewrite = {put = "/d.E/F"}}, request).response.grpc_path, "/d.E/F")
    end},
    {"hosts, and what they were [SEM-W07, SEM-W08]", function()
        local got, headers = forwarded({host = {literal = "b.example:81"}}, {})
        equal(got.host, "b.example:81")
        equal(headers["x-envoy-original-host"], "a.example")
        equal(headers["x-forwarded-host"], nil)
        equal(forwarded({host = {header = "x-host"}}, {headers = {["x-host"] = "c"}}).host, "c")
        got, headers = forwarded({host = {header = "x-host"}}, {})
        equal(got.host, nil)
        equal(headers["x-envoy-original-host"], nil)
        equal(forwarded({host = {path = {pattern = "one", put = "two"}}}, {target = "/one?one"}).host, "/two")
        equal(forwarded({host = {node = true}}, {node = "n.example"}).host, nil)
        equal(forwarded({host = {node = true}}, {node = "n.example"}, "before_proxy").host, "n.example")
        equal(forwarded({host = {node = true}}, {}, "before_proxy").host, nil)
    end},
    {"the host that was there is appended [SEM-W08]", function()
        local conf = {host = {literal = "b"}, append_forwarded_host = true}
        local _, headers = forwarded(conf, {headers = {["x-forwarded-host"] = "a.example"}})
        equal(headers["x-forwarded-host"], "a.example")
        _, headers = forwarded(conf, {var = {http_host = "a.example", original_x_forwarded_host = "first"}})
        equal(headers["x-forwarded-host"], "first,a.example")
    end},
    {"headers see the path and host that were sent", function()
        local all = {{command = "req", name = ":path"}, " ", {command = "req", name = ":authority"}}
        local _, headers = forwarded({rewrite = {put = "/n"}, host = {literal = "b"}, path = {normalize = true},
            headers = {{add = {{name = "x-a", action = "append", value = all}}}}}, {target = "/%61"})
        equal(headers["x-a"], "/a a.example")
    end},
    {"redirects are made from the path that Envoy sees", function()
        local redirect = {status = 301, host = "b", form = {normalize = true, escaped_slashes = "reject"}}
        local _, _, headers = case.answer(answer, {redirect = redirect}, {target = "/%61/./b?q", var = {scheme = "http"}})
        equal(headers.location, "http://b/a/b?q")
        equal(case.answer(answer, {redirect = redirect}, {target = "/%2f", var = {scheme = "http"}}), 400)
    end},
    {"shares of a weighted set [SEM-Z01]", function()
        local function chosen(weights, random, header)
            local members = {}
            for at, weight in ipairs(weights) do
                members[at] = {cluster = tostring(at), weight = weight, upstream_id = "u" .. at}
            end
            local _, ctx = case.run(forward, "rewrite", {clusters = {members = members, header = "x-n"}},
                {random = {random}, headers = {["x-n"] = header}, var = {}})
            return ctx.upstream_id
        end
        equal(chosen({1, 3}, 0), "u1")
        equal(chosen({1, 3}, 1), "u2")
        equal(chosen({1, 3}, 3), "u2")
        equal(chosen({1, 4294967294}, 4294967294), "u2")
        local many = {}
        for at = 1, 100 do
            many[at] = 1
        end
        for at = 1, 100 do
            equal(chosen(many, at - 1), "u" .. at)
        end
        equal(chosen(many, 0, "1041"), "u42")
        -- 2^64 - 1 is 15 more than a multiple of 100.
        equal(chosen(many, 0, "18446744073709551615"), "u16")
        for _, no in ipairs({"18446744073709551616", "x", "-1", "", {"1", "1"}}) do
            equal(chosen(many, 50, no), "u51")
        end
    end},
    {"a member's own changes come first [SEM-O03, SEM-W08]", function()
        local function step(value) return {add = {{name = "lvl", action = "append", value = value}}} end
        local conf = {headers = {step("route")}, clusters = {members = {{cluster = "c", weight = 1, upstream_id = "u",
            host = "w.h", request = {step("member")}, response = {step({{command = "upstream_cluster"}})}}}}}
        local request = {headers = {}, var = {http_host = "a"}}
        local nginx, ctx = case.run(forward, "rewrite", conf, request)
        equal(table.concat(request.headers.lvl, ";"), "member;route")
        equal(request.headers["x-envoy-original-host"], nil)
        equal(nginx.response.host, "w.h")
        nginx = case.run(response, "header_filter", {headers = {step("route")}}, request, {status = 200, headers = {}}, ctx)
        equal(table.concat(nginx.response.headers.lvl, ";"), "c;route")
    end},
    {"a member that does not exist", function()
        local members = {{cluster = "c", weight = 1, upstream_id = "u", status = 404}}
        equal(forwarded({clusters = {members = members}}, {}).status, 404)
        fake.contains(case.refused(forward, {clusters = {members = {}}}), "have no weight")
    end},
    {"what is not understood is refused", function()
        fake.contains(case.refused(forward, {path = {escaped_slashes = "keep"}}), "escaped_slashes keep is not known")
        fake.contains(case.refused(forward, {rewrite = {cut = 1}}), "rewrite.put is missing")
        fake.contains(case.refused(forward, {host = {name = "a"}}), "host.name is not known")
        fake.contains(case.refused(forward, {body = 1}), "amesh-forward.body is not known")
    end},
}
