-- What a worker of the test's nginx does: the first one loads the library, all answer what is in the dictionaries.
local ffi = require("ffi")

ffi.cdef([[
void *ngx_http_lua_ffi_shdict_udata_to_zone(void *zone_udata);
void initial(void *config_zone, void *version_zone);
int amesh_start(void *config_zone, void *version_zone, const char *json, size_t json_len, char *error_buf,
                size_t error_len);
const char *amesh_version();
]])

local _M = {}
local library

local function zone(name)
    return ffi.C.ngx_http_lua_ffi_shdict_udata_to_zone(ngx.shared[name][1])
end

local function start(settings)
    if not settings then
        library.initial(zone("xds-config"), zone("xds-config-version"))
        return "called"
    end
    local error_buf = ffi.new("char[?]", 256)
    local code = library.amesh_start(zone("xds-config"), zone("xds-config-version"), settings, #settings, error_buf, 256)
    return code .. " " .. ffi.string(error_buf)
end

function _M.load(path, settings)
    if ngx.worker.id() ~= 0 then
        return
    end
    library = ffi.load(path)
    local deaths = tonumber(os.getenv("TEST_DEATHS"))
    if deaths then
        ngx.shared["xds-config-version"]:set("deaths", deaths)
    end
    ngx.shared.test:set("settings", settings)
    ngx.shared.test:set("started", start(settings))
    ngx.shared.test:set("agent", ngx.worker.pid())
end

local function quoted(text)
    local escape = function(char)
        return string.format("\\u%04x", string.byte(char))
    end
    return '"' .. text:gsub('[%c"\\]', escape) .. '"'
end

-- The keys that nginx lists, and those of the manifest: nginx's list breaks when a process is killed in the middle of a
-- call, while what is under a key can still be had.
local function keys_of(name)
    local dict = ngx.shared[name]
    local keys, seen = {}, {}
    local function add(key)
        if not seen[key] then
            seen[key] = true
            keys[#keys + 1] = key
        end
    end
    for _, key in ipairs(dict:get_keys(0)) do
        add(key)
    end
    for part = 0, 255 do
        local text = dict:get("/_manifest/" .. part)
        for line in (text or ""):gmatch("[^\n]+") do
            add(line)
        end
    end
    return keys
end

local answers = {
    ["/version"] = function()
        local version = ngx.shared["xds-config-version"]:get("version")
        return version and string.format("%.0f", version) or "none"
    end,
    ["/agent"] = function()
        return ngx.shared.test:get("agent")
    end,
    ["/started"] = function()
        return ngx.shared.test:get("started")
    end,
    ["/release"] = function()
        return library and ffi.string(library.amesh_version())
    end,
    -- Only the first worker can: others answer with an error and are asked again.
    ["/again"] = function()
        return library and start(ngx.shared.test:get("settings"))
    end,
    ["/zone"] = function()
        local dict = ngx.shared[ngx.var.arg_name]
        local fields = {}
        for _, key in ipairs(keys_of(ngx.var.arg_name)) do
            local value = dict:get(key)
            if type(value) == "string" then
                fields[#fields + 1] = quoted(key) .. ":" .. quoted(value)
            elseif value ~= nil then
                fields[#fields + 1] = quoted(key) .. ":" .. string.format("%.0f", value)
            end
        end
        return "{" .. table.concat(fields, ",") .. "}"
    end,
}

function _M.answer()
    local answer = answers[ngx.var.uri]
    local text = answer and answer()
    if not text then
        return ngx.exit(404)
    end
    ngx.print(text)
end

return _M
