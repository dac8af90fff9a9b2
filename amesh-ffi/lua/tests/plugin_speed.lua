--- What a plugin costs in each request: `AMESH_APISIX_HOME=... luajit amesh-ffi/lua/tests/plugin_speed.lua [SECONDS]`, with
-- `wrk` installed.
--
-- One worker answers by itself, with a redirect that APISIX's own plugin makes after the plugin that is measured. All routes
-- are there at once and take turns, the best of three turns counts. What a plugin costs is the worker's CPU time per
-- request beyond that of the redirect alone.

local here = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/../?.lua;" .. here .. "/?.lua;" .. package.path

local real = require("router.real")

if not real.home then
    io.stderr:write("SKIPPED: AMESH_APISIX_HOME is not set; it is a folder with run-standalone.sh of an APISIX 3.x\n")
    os.exit(0)
end

local lua = real.read("cd " .. here .. "/.. && pwd"):gsub("%s+$", "")
local port = real.ports(1)[1]
local SECONDS = tonumber(arg[1] or 2)

local function add(name, value, action)
    return {name = name, value = value, action = action or "overwrite"}
end

local function shares(member)
    local all = {}
    for at, weight in ipairs({1, 3}) do
        all[at] = member("u" .. at, weight)
    end
    return all
end

local TEXTS = {remove = {"x-r"}, add = {add("x-a", "one"), add("x-b", "two"), add("x-c", "three")}}
local FORMATS = {add = {
    add("x-a", {{command = "req", name = ":path"}}),
    add("x-b", {{command = "downstream_remote_address"}, " by ", {command = "protocol"}}),
    add("x-c", {{command = "start_time"}}),
}}
local ISTIO = {headers = {{remove = {"x-forwarded-client-cert"}}}, path = {normalize = true}}

-- What is measured, Amesh's plugins and APISIX's own for the same.
local CASES = {
    {"a header removed and the path normalized, as every route of Istio has it", {["amesh-forward"] = ISTIO},
        {["proxy-rewrite"] = {use_real_request_uri_unsafe = true, headers = {remove = {"x-forwarded-client-cert"}}}}},
    {"three request headers set and one removed", {["amesh-forward"] = {headers = {TEXTS}}},
        {["proxy-rewrite"] = {use_real_request_uri_unsafe = true,
            headers = {set = {["x-a"] = "one", ["x-b"] = "two", ["x-c"] = "three"}, remove = {"x-r"}}}}},
    {"three request headers made of the request", {["amesh-forward"] = {headers = {FORMATS}}},
        {["proxy-rewrite"] = {use_real_request_uri_unsafe = true, headers = {set = {["x-a"] = "$request_uri",
            ["x-b"] = "${remote_addr}:${remote_port} by ${server_protocol}", ["x-c"] = "${time_iso8601}"}}}}},
    {"a prefix replaced", {["amesh-forward"] = {rewrite = {cut = 2, put = "/new"}}},
        {["proxy-rewrite"] = {use_real_request_uri_unsafe = true, regex_uri = {"^/p", "/new"}}}},
    {"the matches of a pattern replaced", {["amesh-forward"] = {rewrite = {pattern = "([0-9]+)", put = "<$1>"}}},
        {["proxy-rewrite"] = {use_real_request_uri_unsafe = true, regex_uri = {"([0-9]+)", "<$1>"}}}},
    {"one of two clusters chosen", {["amesh-forward"] = {clusters = {members = shares(function(id, weight)
        return {cluster = id, weight = weight, upstream_id = id}
    end)}}}, {["traffic-split"] = {rules = {{weighted_upstreams = shares(function(id, weight)
        return {upstream_id = id, weight = weight}
    end)}}}}},
    {"three response headers set and one removed", {["amesh-response"] = {headers = {TEXTS}}},
        {["response-rewrite"] = {headers = {set = {["x-a"] = "one", ["x-b"] = "two", ["x-c"] = "three"},
            remove = {"x-r"}}}}},
}

local routes = {}

local function route(path, plugins)
    plugins.redirect = {uri = "/elsewhere", ret_code = 302}
    routes[#routes + 1] = {id = "r" .. #routes, uri = path .. "/*", plugins = plugins}
end

route("/none", {})
for at, case in ipairs(CASES) do
    route("/p" .. at .. "/ours", case[2])
    route("/p" .. at .. "/theirs", case[3])
end

local upstreams = shares(function(id)
    return {id = id, type = "roundrobin", nodes = {["127.0.0.1:1"] = 1}}
end)

--- The ticks that the worker of a master, and what else it started, have used.
local function ticks(dir)
    local pids = "$(pgrep -P $(cat " .. dir .. "/logs/nginx.pid))"
    local used = "awk '{t += $14 + $15} END {print t}'"
    return tonumber(real.read("for pid in " .. pids .. "; do cat /proc/$pid/stat; done | " .. used))
end

local best = {}

local function measure(dir, path)
    local url = "http://127.0.0.1:" .. port .. path .. "/12/a?b=c"
    local answer = real.read("curl --silent --noproxy '*' --output /dev/null --write-out '%{http_code}' " .. url)
    assert(answer == "302", path .. " is answered " .. answer)
    local before = ticks(dir)
    local said = real.read(string.format("wrk -t1 -c8 -d%ds %s", SECONDS, url))
    local cpu = (ticks(dir) - before) * 10000 / tonumber(said:match("(%d+) requests in"))
    local one = best[path] or {rate = 0, cpu = math.huge}
    best[path] = {rate = math.max(one.rate, tonumber(said:match("Requests/sec:%s*([%d.]+)"))), cpu = math.min(one.cpu, cpu)}
end

local dir = real.start({
    router = "amesh", lua = lua, routes = routes, upstreams = upstreams, ports = {port},
    plugins = {"amesh-forward", "amesh-response", "proxy-rewrite", "redirect", "response-rewrite", "traffic-split"},
})
local fine, err = pcall(function()
    for _ = 1, 3 do
        measure(dir, "/none")
        for at in ipairs(CASES) do
            measure(dir, "/p" .. at .. "/ours")
            measure(dir, "/p" .. at .. "/theirs")
        end
    end
end)
real.stop(dir)
assert(fine, err)

local none = best["/none"]
print(string.format("without: %.0f requests/s, %.1f us of CPU per request", none.rate, none.cpu))
print("| what | Amesh's plugin: requests/s, CPU beyond the redirect | APISIX's own |")
print("| --- | --- | --- |")
for at, case in ipairs(CASES) do
    local ours, theirs = best["/p" .. at .. "/ours"], best["/p" .. at .. "/theirs"]
    print(string.format("| %s | %.2f, %.1f us | %.2f, %.1f us |", case[1], ours.rate / none.rate, ours.cpu - none.cpu,
        theirs.rate / none.rate, theirs.cpu - none.cpu))
end
