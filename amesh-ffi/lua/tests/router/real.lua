--- A real APISIX for the tests, from AMESH_APISIX_HOME: a folder with `run-standalone.sh DIR PORT...` and
-- `stop-standalone.sh DIR`.

local encode = require("router.json")

local _M = {home = os.getenv("AMESH_APISIX_HOME")}

local function read(command)
    local pipe = assert(io.popen(command))
    local text = pipe:read("*a")
    pipe:close()
    return text
end
_M.read = read

function _M.write(path, text)
    local file = assert(io.open(path, "w"))
    file:write(text)
    file:close()
end

local given = {}
math.randomseed(os.time())

--- A number of ports that nobody listens on.
function _M.ports(count)
    local used = read("cat /proc/net/tcp | awk '{print $2}'")
    local ports = {}
    while #ports < count do
        local port = math.random(20000, 32000)
        if not given[port] and not used:find(string.format(":%04X", port), 1, true) then
            given[port] = true
            ports[#ports + 1] = port
        end
    end
    return ports
end

--- Starts one. `one.router` is the router's name, `one.lua` the folder of Amesh's Lua, `one.routes` its routes,
-- `one.upstreams` its upstreams, `one.plugins` the plugins that it loads, `one.ports` its ports. Returns the folder that
-- `stop` wants.
function _M.start(one)
    local dir = read("mktemp -d /tmp/amesh-router-XXXXXX"):gsub("%s+$", "")
    os.execute("mkdir -p " .. dir .. "/conf")
    _M.write(dir .. "/conf/config.yaml", encode({
        apisix = {
            router = {http = one.router},
            extra_lua_path = one.lua .. "/?.lua;" .. one.lua .. "/tests/?.lua",
        },
        nginx_config = {error_log_level = "warn", http = {access_log_format = "-", enable_access_log = false}},
        plugins = one.plugins or {"fault-injection"},
        stream_plugins = {},
    }) .. "\n")
    _M.write(dir .. "/conf/apisix.yaml", encode({routes = one.routes, upstreams = one.upstreams}) .. "\n#END\n")
    local control = _M.ports(1)[1]
    local said = read("CONTROL_PORT=" .. control .. " " .. _M.home .. "/run-standalone.sh " .. dir .. " "
        .. table.concat(one.ports, " ") .. " 2>&1")
    assert(said:find("started: pid", 1, true), said)
    return dir
end

function _M.errors(dir)
    return read("grep -h '\\[error\\]' " .. dir .. "/logs/error.log | head -5")
end

function _M.stop(dir)
    read(_M.home .. "/stop-standalone.sh " .. dir)
    os.execute("rm -rf " .. dir)
end

return _M
