--- A `lua_module_hook` for APISIX's own `config_xds`: it waits for a first version before it answers anything, so one is
-- published before there are workers.

local config, versions = ngx.shared["xds-config"], ngx.shared["xds-config-version"]
if config and not versions:get("version") then
    require("writer").publish(config, versions, {})
end
