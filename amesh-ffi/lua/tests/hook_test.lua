local fake = require("fake")
local hook = require("amesh.hook")
local equal = fake.equal

local MODULES = {"apisix.core.config_yaml", "apisix.core.config_xds"}

local function without_preload(fn)
    return function()
        local ok, err = xpcall(fn, debug.traceback)
        for _, name in ipairs(MODULES) do
            package.preload[name] = nil
        end
        assert(ok, err)
    end
end

return {
    {"the versions that are supported", function()
        for _, version in ipairs({"3.16.0", "3.17.0", "3.18.0", "3.18.7"}) do
            hook.check_version(version)
        end
        for _, version in ipairs({"3.15.0", "3.19.0", "3.1.0", "2.15.3", "4.0.0", "3.180.1", "master"}) do
            local ok, err = pcall(hook.check_version, version)
            equal(ok, false, version)
            equal(err, "amesh: APISIX " .. version .. " is not supported, this package works with 3.16, 3.17 and 3.18")
        end
        equal(pcall(hook.check_version, nil), false)
    end},
    {"our provider stands where APISIX looks for its own", without_preload(function()
        package.preload["amesh.apisix"] = function()
            return {provider = function() return "the provider" end}
        end
        hook.install()
        equal(package.preload["apisix.core.config_yaml"](), "the provider")
        package.preload["amesh.apisix"], package.loaded["amesh.apisix"] = nil, nil
    end)},
    {"another provider is an error that says what to do", without_preload(function()
        hook.install()
        local ok, err = pcall(require, "apisix.core.config_xds")
        equal(ok, false)
        fake.contains(err, "role_data_plane.config_provider to yaml")
    end)},
}
