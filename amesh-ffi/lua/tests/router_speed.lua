--- How fast APISIX answers with its own router and with Amesh's: `AMESH_APISIX_HOME=... luajit
-- amesh-ffi/lua/tests/router_speed.lua`, with `wrk` installed.
--
-- One worker answers by itself, so that the router is much of the work. The two take turns in each case, the best of
-- three turns counts; beside the requests per second stands the worker's own CPU time per request, which a busy
-- machine disturbs less.

local here = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/../?.lua;" .. here .. "/?.lua;" .. package.path

local real = require("router.real")

if not real.home then
    io.stderr:write("SKIPPED: AMESH_APISIX_HOME is not set; it is a folder with run-standalone.sh of an APISIX 3.x\n")
    os.exit(0)
end

local lua = real.read("cd " .. here .. "/.. && pwd"):gsub("%s+$", "")
local port = real.ports(1)[1]
local SECONDS = tonumber(arg[1] or 3)

local function route(id, hosts, priority, ...)
    return {
        id = id, uri = "/*", hosts = hosts, priority = priority, vars = {{"server_port", "==", tostring(port)}, ...},
        plugins = {["fault-injection"] = {abort = {http_status = 200, body = id}}},
    }
end

--- As many hosts, each with a route and the route that takes the rest.
local function hosts(count)
    local routes = {}
    for at = 1, count do
        local host = {"h" .. at .. ".default.svc.cluster.local"}
        routes[#routes + 1] = route("r" .. at, host, 2, {"uri", "~~", "^/api/"})
        routes[#routes + 1] = route("g" .. at, host, 1)
    end
    return routes
end

--- One host with 500 routes whose paths are regexes, in the order in which they are tried.
local function list(path)
    local routes = {}
    for at = 1, 500 do
        routes[at] = route("r" .. at, {"h1.default.svc.cluster.local"}, 1000 - at, {"uri", "~~", (path:gsub("N", at))})
    end
    routes[501] = route("g", {"h1.default.svc.cluster.local"}, 1)
    return routes
end

local CASES = {
    {name = "1 host", routes = hosts(1), host = "h1", path = "/api/1", id = "r1"},
    {name = "10,000 hosts", routes = hosts(10000), host = "h9999", path = "/api/1", id = "r9999"},
    {name = "500 regexes, last one hit", routes = list("^(?:/sN/[0-9]+)\\z"), host = "h1",
        path = "/s500/7", id = "r500"},
    {name = "500 regexes, none hit", routes = list("^(?:/sN/[0-9]+)\\z"), host = "h1", path = "/t", id = "g"},
    -- Nothing is known of how a path begins that these take.
    {name = "500 opaque regexes, last one hit", routes = list("^(?:.*/sN/[0-9]+)\\z"), host = "h1",
        path = "/x/s500/7", id = "r500"},
}

--- The ticks that the worker of a master, and what else it started, have used.
local function ticks(dir)
    local pids = "$(pgrep -P $(cat " .. dir .. "/logs/nginx.pid))"
    local used = "awk '{t += $14 + $15} END {print t}'"
    return tonumber(real.read("for pid in " .. pids .. "; do cat /proc/$pid/stat; done | " .. used))
end

local function measure(dir, case)
    local before = ticks(dir)
    local host = case.host .. ".default.svc.cluster.local"
    local said = real.read(string.format("wrk -t1 -c8 -d%ds -H 'Host: %s' http://127.0.0.1:%d%s", SECONDS, host, port,
        case.path))
    local used = ticks(dir) - before
    assert(not said:find("Non-2xx", 1, true), said)
    return tonumber(said:match("Requests/sec:%s*([%d.]+)")), used * 10000 / tonumber(said:match("(%d+) requests in"))
end

--- What the router alone takes to build 10,000 hosts, and to follow a change of one route.
local function changes()
    local support = require("router.support")
    local items = support.items(hosts(10000))
    local provider = {values = items, conf_version = 1}
    function provider:subscribe(told)
        self.told = told
    end
    local start = os.clock()
    local made = support.router(provider)
    local built = os.clock() - start
    local times = {}
    for turn = 1, 2000 do
        local at = 2 * math.random(10000) - 1
        local old = items[at].value
        local new = {value = {id = old.id, uri = "/*", hosts = old.hosts, priority = turn + 2, vars = old.vars}}
        start = os.clock()
        provider.told({{old = items[at], new = new}})
        times[turn] = os.clock() - start
        items[at] = new
    end
    table.sort(times)
    local vars = {host = "h77.default.svc.cluster.local", uri = "/api/", server_port = tostring(port)}
    assert(support.ask(made, vars) == "r77")
    -- With a provider that does not tell: everything is compared, one is new.
    local quiet = {values = items, conf_version = 1}
    made = support.router(quiet)
    local looked = math.huge
    for turn = 2, 20 do
        items[1] = {value = items[1].value}
        quiet.conf_version = turn
        start = os.clock()
        assert(support.ask(made, vars) == "r77")
        looked = math.min(looked, os.clock() - start)
    end
    print(string.format("10,000 hosts with 20,000 routes: built in %.0f ms; a change of one: median %.0f us, "
        .. "99 %% %.0f us; without news: %.1f ms", built * 1e3, times[1000] * 1e6, times[1980] * 1e6, looked * 1e3))
end

changes()
print("| case | APISIX's own: requests/s, CPU per request | Amesh's |")
print("| --- | --- | --- |")
for _, case in ipairs(CASES) do
    local best = {}
    for _ = 1, 3 do
        for _, name in ipairs({"radixtree_host_uri", "amesh"}) do
            local dir = real.start({router = name, lua = lua, routes = case.routes, ports = {port}})
            local fine, err = pcall(function()
                local answer = real.read("curl --silent --noproxy '*' -H 'Host: " .. case.host
                    .. ".default.svc.cluster.local' http://127.0.0.1:" .. port .. case.path)
                assert(answer == case.id, answer)
                local rate, cpu = measure(dir, case)
                local one = best[name] or {rate = 0, cpu = math.huge}
                best[name] = {rate = math.max(one.rate, rate), cpu = math.min(one.cpu, cpu)}
            end)
            real.stop(dir)
            assert(fine, err)
        end
    end
    local theirs, ours = best.radixtree_host_uri, best.amesh
    print(string.format("| %s | %.0f, %.1f us | %.0f, %.1f us |", case.name, theirs.rate, theirs.cpu, ours.rate,
        ours.cpu))
end
