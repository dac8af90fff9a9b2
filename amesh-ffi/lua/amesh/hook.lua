--- What `apisix.lua_module_hook` names: puts Amesh's provider where APISIX looks for its own.
--
-- APISIX requires this module before anything of its own, in the http and in the stream subsystem. `package.preload` is
-- asked before any file, so no file of APISIX is changed, copied or shadowed. What has names of its own, the router and
-- the plugin, is found on `apisix.extra_lua_path` and needs no hook.
--
-- The provider takes the place of `config_yaml`, not of `config_xds`, as APISIX treats the two names differently: with
-- `yaml` its readiness answer works, and a plugin that is unknown makes an object invalid instead of being left out in
-- silence. `apisix.yaml` is not read.

local require = require
local error = error
local type = type

-- The provider relies on what APISIX's modules expect of one. That is no public interface, so each version is tested. Older
-- ones leave out what they do not know of a route's plugins, and serve the route without it: what it guards would be open.
local SUPPORTED = {["3.16"] = true, ["3.17"] = true, ["3.18"] = true}
local SUPPORTED_NAMES = "3.16, 3.17 and 3.18"


local function check_version(version)
    local minor = type(version) == "string" and version:match("^(%d+%.%d+)%.") or nil
    if not (minor and SUPPORTED[minor]) then
        error("amesh: APISIX " .. tostring(version) .. " is not supported, this package works with "
              .. SUPPORTED_NAMES, 0)
    end
end


local function other_provider(name)
    return function()
        error("amesh: deployment.config_provider is " .. name .. ": set deployment.role to data_plane and "
              .. "deployment.role_data_plane.config_provider to yaml, whose place Amesh takes", 0)
    end
end


local function install()
    local preload = package.preload

    preload["apisix.core.config_yaml"] = function()
        return require("amesh.apisix").provider()
    end
    -- config.yaml cannot be read here: that uses regular expressions, which APISIX sets up only after this.
    preload["apisix.core.config_xds"] = other_provider("xds")
end


local _M = {
    check_version = check_version,
    install = install,
}

if ngx then
    check_version(require("apisix.core.version").VERSION)
    install()
end

return _M
