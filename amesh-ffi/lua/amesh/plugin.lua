--- Makes plugins of APISIX out of the modules below `amesh/plugin/`.
--
-- Such a module has a `name` and a `priority`; `compile(conf, nginx)`, which gives what the phases need or nil and what is
-- wrong with the configuration; and a function for each phase that it takes part in. It knows neither APISIX nor nginx:
-- the phases get the compiled configuration, APISIX's context, and the functions of `amesh.plugin.nginx`.

local ipairs = ipairs
local pairs = pairs
local setmetatable = setmetatable
local type = type

-- Every plugin of this package, which `amesh.hook` adds to those that config.yaml names.
local OWN = {
    "amesh-answer", "amesh-cors", "amesh-fault", "amesh-forward", "amesh-hash", "amesh-limit", "amesh-mirror",
    "amesh-response", "amesh-retry", "amesh-status",
}

local PHASES = {"rewrite", "access", "before_proxy", "header_filter", "body_filter", "log"}

local _M = {}


--- What is compiled of a configuration, once for each. A configuration that changes is another table.
local function compiler(module, nginx)
    local of = setmetatable({}, {__mode = "k"})
    return function(conf)
        local compiled = of[conf]
        if not compiled then
            local err
            compiled, err = module.compile(conf, nginx)
            if not compiled then
                return nil, err
            end
            of[conf] = compiled
        end
        return compiled
    end
end


--- The plugin that APISIX loads.
function _M.of(module, nginx)
    local compiled = compiler(module, nginx)
    local plugin = {
        version = 0.1,
        name = module.name,
        priority = module.priority,
        -- The library writes configurations, and `compile` looks at all of them.
        schema = {type = "object"},
    }

    function plugin.check_schema(conf)
        local ok, err = module.compile(conf, nginx)
        if not ok then
            return false, err
        end
        return true
    end

    for _, phase in ipairs(PHASES) do
        local run = module[phase]
        if run then
            local once = phase == "before_proxy" and not module.every_try
            plugin[phase] = function(conf, ctx)
                -- APISIX asks before every try of an upstream.
                if once and nginx.in_balancer() then
                    return nil
                end
                return run(compiled(conf), ctx, nginx)
            end
        end
    end
    return plugin
end


--- Adds the plugins of this package to a list of names. One that an operator did not name would be unknown to APISIX, and
-- every route with it refused.
function _M.add_own(names)
    local listed = {}
    for _, name in ipairs(names) do
        listed[name] = true
    end
    for _, name in ipairs(OWN) do
        if not listed[name] then
            names[#names + 1] = name
        end
    end
end


--- What is wrong with a table whose keys must be of these types; `fields` has "string", "number", "boolean", "table" by
-- name, with a `?` at the end where the key may be absent. What a newer library would write is refused, not left out.
function _M.wrong(conf, fields, at)
    if type(conf) ~= "table" then
        return at .. " must be an object"
    end
    for name, kind in pairs(fields) do
        local value = conf[name]
        local optional = kind:sub(-1) == "?"
        if value == nil then
            if not optional then
                return at .. "." .. name .. " is missing"
            end
        elseif type(value) ~= (optional and kind:sub(1, -2) or kind) then
            return at .. "." .. name .. " must be a " .. kind
        end
    end
    for name in pairs(conf) do
        -- APISIX's own, for every plugin.
        if not fields[name] and name ~= "_meta" then
            return at .. "." .. name .. " is not known to this version"
        end
    end
    return nil
end


return _M
