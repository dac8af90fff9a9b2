--- Puts the provider together with what APISIX and nginx offer. Everything that only exists there is named here.

local config_local = require("apisix.core.config_local")
local log = require("apisix.core.log")
local json = require("apisix.core.json")
local schema = require("apisix.core.schema")
local usleep = require("apisix.core.os").usleep
local process = require("ngx.process")
local ffi = require("ffi")

local agent = require("amesh.agent")
local loop = require("amesh.loop")
local plugin = require("amesh.plugin")
local provider_of = require("amesh.provider")
local settings_of = require("amesh.settings")
local wakeup = require("amesh.wakeup")
local workers_of = require("amesh.workers")

local ngx = ngx
local crc32 = ngx.crc32_long
local subsystem = ngx.config.subsystem

local _M = {}


-- 14 digits at most: APISIX appends the number to texts, and Lua writes no more.
local function hash(text)
    return crc32(text) * 10000 + #text % 10000
end
_M.hash = hash


local function file_exists(path)
    local f = io.open(path, "r")
    if f then
        f:close()
    end
    return f ~= nil
end


local function in_agent()
    return process.type() == "privileged agent"
end


--- The subsystems that this nginx has, as APISIX decides it.
function _M.subsystems(conf)
    local mode = conf.apisix and conf.apisix.proxy_mode or "http"
    return {
        http = mode ~= "stream" or nil,
        stream = (mode == "stream" or mode == "http&stream") or nil,
    }
end


local function dictionary(name)
    local dict = ngx.shared[name]
    if not dict then
        error("amesh: there is no shared dictionary " .. name .. " in the " .. subsystem .. " subsystem; "
              .. "docs/deploy.md shows how config.yaml declares it", 0)
    end
    return dict
end


-- What APISIX reads of config.yaml. It reads the file again before it loads the plugins, so they are added each time.
local function local_conf(force)
    local conf, err = config_local.local_conf(force)
    if conf and subsystem == "http" and conf.plugins then
        plugin.add_own(conf.plugins)
    end
    return conf, err
end


-- The parts that all modules share, made once in each Lua VM.
local parts
function _M.parts()
    if parts then
        return parts
    end
    local conf, err = local_conf()
    if not conf then
        error("amesh: config.yaml cannot be read: " .. tostring(err), 0)
    end
    local name = conf.deployment.config_provider
    if name ~= "yaml" then
        error("amesh: deployment.config_provider is " .. name .. ", and Amesh takes the place of yaml", 0)
    end
    local settings, wrong = settings_of.read(conf)
    if not settings then
        error("amesh: " .. wrong, 0)
    end
    parts = {
        settings = settings,
        conf = conf,
        config = dictionary(settings.config_dict),
        versions = dictionary(settings.version_dict),
        subsystems = _M.subsystems(conf),
    }
    return parts
end


local function make_workers(shared)
    return workers_of.new({
        versions = shared.versions,
        status_report = ngx.shared["status-report"],
        encode = json.encode,
        decode = json.decode,
        subsystem = subsystem,
        subsystems = shared.subsystems,
        id = ngx.worker.id(),
        pid = ngx.worker.pid(),
        count = ngx.worker.count(),
        now = ngx.time,
        log = log,
    })
end


local function start_library(shared)
    agent.start({
        settings = shared.settings,
        cpath = package.cpath,
        exists = file_exists,
        load = ffi.load,
        zone = agent.zone,
        config = shared.config,
        versions = shared.versions,
        encode = json.encode,
        log = log,
    })
end


local function start_loop(shared, provider, workers, sync)
    local last_error
    loop.start({
        timer_at = ngx.timer.at,
        exiting = ngx.worker.exiting,
        sleep = ngx.sleep,
        log = log,
        waker = function()
            return wakeup.new({
                path = shared.settings.wake_socket,
                poll_interval = shared.settings.poll_interval,
                tcp = ngx.socket.tcp,
                sleep = ngx.sleep,
                now = ngx.now,
                log = log,
            })
        end,
        after = function(done, err)
            if not workers or workers.ready and not done and err == last_error then
                return
            end
            workers.update(provider.report(), done or err ~= last_error)
            last_error = err
        end,
    }, sync)
end


--- The module that APISIX takes for its provider.
function _M.provider()
    local shared = _M.parts()
    local provider, workers

    provider = provider_of.new({
        config = shared.config,
        versions = shared.versions,
        decode = json.decode,
        check_schema = schema.check,
        hash = hash,
        log = log,
        local_conf = local_conf,
        in_agent = in_agent,
        on_init_worker = function()
            if not in_agent() then
                workers = make_workers(shared)
                workers.begin()
            elseif subsystem == "http" then
                start_library(shared)
            end
        end,
        start_wait = shared.settings.start_wait,
        pause = function(seconds)
            usleep(math.ceil(seconds * 1000000))
        end,
        start = function(sync)
            start_loop(shared, provider, workers, sync)
        end,
    })
    return provider
end


return _M
