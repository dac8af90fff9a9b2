--- Starts the library, in the privileged agent.
--
-- An error is logged and leaves the agent as it is: APISIX serves what the dictionary holds.

local ffi = require("ffi")

local pcall = pcall
local tostring = tostring

local NAME = "libxds.so"

-- What `amesh_start` returns.
local STARTED = 0
local RUNS_ALREADY = 1
local ERROR_LEN = 1024

ffi.cdef[[
int amesh_start(void *config_zone, void *version_zone, const char *json, size_t json_len,
                char *error_buf, size_t error_len);
void initial(void *config_zone, void *version_zone);
void *ngx_http_lua_ffi_shdict_udata_to_zone(void *zone_udata);
void *ngx_meta_lua_ffi_shdict_udata_to_zone(void *zone_udata);
]]

-- LuaJIT unmaps a library that nobody refers to, while its threads run.
local _M = {library = nil}


--- The file to load: the setting, or the first that exists in a directory of `cpath`.
-- @return the path, or nil and where it was looked for
function _M.find(setting, cpath, exists)
    if setting then
        return setting
    end
    local tried, known = {}, {}
    for template in cpath:gmatch("[^;]+") do
        local directory = template:match("^(.*/)")
        if directory and not known[directory] then
            known[directory] = true
            local path = directory .. NAME
            if exists(path) then
                return path
            end
            tried[#tried + 1] = path
        end
    end
    return nil, table.concat(tried, ", ")
end


local function symbol(library, name)
    local ok, fn = pcall(function()
        return library[name]
    end)
    return ok and fn or nil
end


--- The memory of a dictionary, as C knows it.
function _M.zone(dict)
    -- APISIX's runtime has the second name, other builds of OpenResty the first.
    local to_zone = symbol(ffi.C, "ngx_meta_lua_ffi_shdict_udata_to_zone")
                    or symbol(ffi.C, "ngx_http_lua_ffi_shdict_udata_to_zone")
    if not to_zone then
        return nil, "this nginx does not tell where a dictionary is"
    end
    return ffi.cast("void *", to_zone(dict[1]))
end


local function call(library, config_zone, version_zone, json)
    local start = symbol(library, "amesh_start")
    if start then
        local reason = ffi.new("char[?]", ERROR_LEN)
        local rc = start(config_zone, version_zone, json, #json, reason, ERROR_LEN)
        if rc ~= STARTED and rc ~= RUNS_ALREADY then
            return nil, ffi.string(reason)
        end
        return "amesh_start"
    end
    local initial = symbol(library, "initial")
    if not initial then
        return nil, "it has neither amesh_start nor initial"
    end
    initial(config_zone, version_zone)
    return "initial"
end


--- @param deps `settings`, `cpath`, `exists`, `load` (ffi.load), `zone`, `config`, `versions`, `encode`, `log`
-- @return whether the library runs
function _M.start(deps)
    local log = deps.log
    if _M.library then
        return true
    end

    local path, tried = _M.find(deps.settings.library, deps.cpath, deps.exists)
    if not path then
        log.error("amesh: ", NAME, " is in none of these places, so no configuration will come: ", tried)
        return false
    end

    local loaded, library = pcall(deps.load, path)
    if not loaded then
        log.error("amesh: ", path, " cannot be loaded, so no configuration will come: ", tostring(library))
        return false
    end
    _M.library = library

    local called, entry, err = pcall(function()
        local config_zone, why = deps.zone(deps.config)
        local version_zone = config_zone and deps.zone(deps.versions)
        if not version_zone then
            return nil, why
        end
        return call(library, config_zone, version_zone, deps.encode(deps.settings.library_settings))
    end)
    if not called then
        entry, err = nil, entry
    end
    if not entry then
        log.error("amesh: ", path, " did not start, so no configuration will come: ", tostring(err))
        return false
    end
    log.warn("amesh: ", path, " started through ", entry)
    return true
end


return _M
