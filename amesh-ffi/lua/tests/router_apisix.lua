--- The router beside APISIX's own in a real APISIX: `AMESH_APISIX_HOME=... luajit
-- amesh-ffi/lua/tests/router_apisix.lua`.
--
-- First on random tables and made-up requests inside a worker, then with curl's requests. Every one must get the same
-- route, and the same record of how it was found. Exit status 1 when one does not.

local here = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/../?.lua;" .. here .. "/?.lua;" .. package.path

local real = require("router.real")
local tables = require("router.tables")

if not real.home then
    io.stderr:write("SKIPPED: AMESH_APISIX_HOME is not set; it is a folder with run-standalone.sh of an APISIX 3.x\n")
    print("0 passed, 0 failed, 1 skipped")
    os.exit(0)
end

local TABLES, REQUESTS = 120, 4000

local ports = real.ports(3)
math.randomseed(5)
tables.use_ports(ports)
local routes = {}
for number = 1, TABLES do
    for _, route in ipairs(number % 2 == 0 and tables.mesh() or tables.other()) do
        route.id = "t" .. number .. "." .. route.id
        local vars = {{"http_x_table", "==", tostring(number)}}
        for _, each in ipairs(route.vars or {}) do
            vars[#vars + 1] = each
        end
        route.vars = vars
        routes[#routes + 1] = route
    end
end

local function requests(dir)
    local lines = {}
    for _ = 1, REQUESTS do
        local vars = tables.request()
        local path = vars.uri:gsub("[^%w/._~-]", function(char)
            return string.format("%%%02X", char:byte())
        end)
        lines[#lines + 1] = 'url = "http://127.0.0.1:' .. vars.server_port .. path .. '"'
        lines[#lines + 1] = 'header = "Host: ' .. vars.http_host .. '"'
        lines[#lines + 1] = 'header = "x-table: ' .. math.random(TABLES) .. '"'
        for name, header in pairs({http_x_a = "x-a", http_x_b = "x-b"}) do
            if vars[name] then
                lines[#lines + 1] = 'header = "' .. header .. (vars[name] == "" and ";" or ": " .. vars[name]) .. '"'
            end
        end
        lines[#lines + 1] = vars.request_method == "HEAD" and "head" or 'request = "' .. vars.request_method .. '"'
        lines[#lines + 1] = 'path-as-is\noutput = "/dev/null"'
        lines[#lines + 1] = 'write-out = "%{http_code} %header{x-router-route} %header{x-router-differs}\\n"'
        lines[#lines + 1] = "next"
    end
    lines[#lines] = nil
    real.write(dir .. "/requests", table.concat(lines, "\n") .. "\n")
    return real.read("curl --silent --noproxy '*' --config " .. dir .. "/requests")
end

local dir = real.start({router = "amesh_compared", lua = real.read("cd " .. here .. "/.. && pwd"):gsub("%s+$", ""),
    routes = routes, ports = ports})
local fine, err = xpcall(function()
    local random = real.read("curl --silent --noproxy '*' 'http://127.0.0.1:" .. ports[1] .. "/_random?tables=2000'")
    print("in a worker: " .. random)
    assert(random:find('"tables":2000', 1, true) and not random:find("differs", 1, true), "they differ")
    local taken, none = 0, 0
    for line in requests(dir):gmatch("[^\n]+") do
        local status, route, differs = line:match("^(%d+) (%S*) ?(.*)$")
        assert(differs == "", line)
        assert(status == (route == "none" and "404" or "200"), line)
        taken, none = taken + (route ~= "none" and 1 or 0), none + (route == "none" and 1 or 0)
    end
    print(string.format("by curl: %d routes, %d requests took a route, %d took none", #routes, taken, none))
    assert(taken + none == REQUESTS and taken > REQUESTS / 4 and none > REQUESTS / 40, "not what was asked")
    assert(real.errors(dir) == "", real.errors(dir))
end, debug.traceback)
real.stop(dir)
if not fine then
    io.stderr:write("FAILED: ", err, "\n")
end
print(fine and "1 passed, 0 failed" or "0 passed, 1 failed")
os.exit(fine and 0 or 1)
