local ffi = require("ffi")
local fake = require("fake")
local agent = require("amesh.agent")
local equal = fake.equal

-- A library as ffi.load returns it: a symbol that it has not is an error.
local function library(symbols)
    return setmetatable({}, {__index = function(_, name)
        return symbols[name] or error("undefined symbol: " .. name)
    end})
end

local function start(symbols, over)
    agent.library = nil
    local log = fake.log()
    local deps = {
        settings = {library_settings = {zone = "z"}},
        cpath = "/a/?.so;/b/?.so;?.so", exists = function(path) return path == "/b/libxds.so" end,
        load = function() return library(symbols) end,
        zone = function(dict) return "zone of " .. dict end,
        config = "config", versions = "versions", encode = function(attr) return "json " .. attr.zone end, log = log,
    }
    for name, value in pairs(over or {}) do
        deps[name] = value
    end
    return agent.start(deps), log.lines
end

return {
    {"the library is looked for beside the C modules", function()
        equal(agent.find("/set.so", "/a/?.so", function() return false end), "/set.so")
        local function only_b(path) return path == "/b/libxds.so" end
        equal(agent.find(nil, "/a/?.so;/b/?.so", only_b), "/b/libxds.so")
        local path, tried = agent.find(nil, "/a/?.so;/b/?.so;?.so;/a/?.so", function() return false end)
        equal(path, nil)
        equal(tried, "/a/libxds.so, /b/libxds.so")
    end},
    {"amesh_start gets both zones and the settings, once", function()
        local calls = {}
        local symbols = {amesh_start = function(config, versions, json, len)
            calls[#calls + 1] = table.concat({config, versions, json, len}, "; ")
            return 0
        end}
        local ok, lines = start(symbols)
        equal(ok, true)
        equal(calls[1], "zone of config; zone of versions; json z; 6")
        fake.contains(lines.warn[1], "/b/libxds.so started through amesh_start")
        assert(agent.library, "the library must not be collected")
        equal(agent.start({log = fake.log()}), true)
        equal(#calls, 1)
    end},
    {"a library that runs already is fine", function()
        equal(start({amesh_start = function() return 1 end}), true)
    end},
    {"a library with `initial` alone", function()
        local got
        local ok = start({initial = function(...) got = table.concat({...}, "; ") end})
        equal(ok, true)
        equal(got, "zone of config; zone of versions")
    end},
    {"whatever goes wrong is said, and nothing is thrown", function()
        local function refused(part, symbols, over)
            local ok, lines = start(symbols, over)
            equal(ok, false, part)
            equal(#lines.error, 1, part)
            fake.contains(lines.error[1], part)
        end
        refused("is in none of these places", {}, {exists = function() return false end})
        refused("wrong ELF class", {}, {load = function() error("wrong ELF class") end})
        refused("neither amesh_start nor initial", {})
        refused("did not start, so no configuration will come: no server", {
            amesh_start = function(_, _, _, _, reason, len)
                assert(len > 100)
                ffi.copy(reason, "no server")
                return -1
            end,
        })
        refused("boom", {amesh_start = function() error("boom") end})
        refused("no zone", {amesh_start = function() return 0 end}, {zone = function() return nil, "no zone" end})
    end},
}
