--- `plugin_attr.amesh` of config.yaml: what Lua reads of it, and what the library gets.

local pairs = pairs
local type = type

local DEFAULTS = {
    config_dict = "xds-config",
    version_dict = "xds-config-version",
    poll_interval = 1,
    start_wait = 3,
}

-- The library refuses what it does not know, so it gets none of these. `wake_socket` is for both.
local OURS = {config_dict = true, version_dict = true, library = true, poll_interval = true, start_wait = true}

local _M = {DEFAULTS = DEFAULTS}


local function text(attr, name)
    local value = attr[name]
    if value == nil then
        return DEFAULTS[name]
    end
    if type(value) ~= "string" or value == "" then
        return nil, "plugin_attr.amesh." .. name .. " must be a text"
    end
    return value
end


local function seconds(attr, name, least)
    local value = attr[name]
    if value == nil then
        return DEFAULTS[name]
    end
    if type(value) ~= "number" or value < least then
        return nil, "plugin_attr.amesh." .. name .. " must be a number of seconds, " .. least .. " or more"
    end
    return value
end


--- @param local_conf the whole of config.yaml
-- @return the settings, or nil and what is wrong
function _M.read(local_conf)
    local plugin_attr = local_conf.plugin_attr
    local attr = type(plugin_attr) == "table" and plugin_attr.amesh or {}
    if type(attr) ~= "table" then
        return nil, "plugin_attr.amesh must be a map"
    end

    local settings = {library_settings = {}}
    for name, value in pairs(attr) do
        if not OURS[name] then
            settings.library_settings[name] = value
        end
    end
    for _, name in ipairs({"config_dict", "version_dict", "library", "wake_socket"}) do
        local value, err = text(attr, name)
        if err then
            return nil, err
        end
        settings[name] = value
    end

    for name, least in pairs({poll_interval = 0.01, start_wait = 0}) do
        local value, err = seconds(attr, name, least)
        if err then
            return nil, err
        end
        settings[name] = value
    end
    return settings
end


return _M
