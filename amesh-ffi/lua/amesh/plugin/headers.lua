--- Changes of headers as Envoy makes them: steps, one after the other, each of which removes and then adds.

local format = require("amesh.plugin.format")
local plugin = require("amesh.plugin")

local concat = table.concat
local ipairs = ipairs
local type = type

local _M = {}

local ACTIONS = {append = true, add_if_absent = true, overwrite = true, overwrite_if_exists = true}

local function set_of(text)
    local set = {}
    for name in text:gmatch("%S+") do
        set[name] = true
    end
    return set
end

-- Headers that Envoy keeps as one value: what is added comes after a comma, and not as a line of its own.
_M.ONE_REQUEST_LINE = set_of([[accept accept-encoding access-control-request-headers access-control-request-method
    authorization cache-control connection content-encoding content-type expect grpc-accept-encoding grpc-timeout if-match
    if-modified-since if-none-match if-range keep-alive origin pragma proxy-connection proxy-status referer te upgrade
    user-agent via x-client-trace-id x-envoy-attempt-count x-envoy-external-address x-envoy-original-host
    x-envoy-original-path x-forwarded-client-cert x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-proto
    x-request-id]])
_M.ONE_RESPONSE_LINE = set_of([[access-control-allow-origin access-control-expose-headers access-control-max-age age
    cache-control content-encoding content-type date etag expires grpc-message grpc-status keep-alive last-modified location
    proxy-status vary via x-envoy-attempt-count x-envoy-upstream-service-time x-request-id]])


local function compile_addition(addition)
    local wrong = plugin.wrong(addition, {name = "string", action = "string",
        value = type(addition) == "table" and type(addition.value) == "table" and "table" or "string"}, "add")
    if wrong then
        return nil, wrong
    end
    if not ACTIONS[addition.action] then
        return nil, "add.action " .. addition.action .. " is not known to this version"
    end
    local value, err = format.compile(addition.value)
    if not value then
        return nil, err
    end
    return {name = addition.name, value = value, action = addition.action}
end


--- What `apply` needs of a list of steps; nil and what is wrong.
function _M.compile(steps)
    local compiled = {}
    for at, step in ipairs(steps) do
        local wrong = plugin.wrong(step, {remove = "table?", add = "table?"}, "headers")
        if wrong then
            return nil, wrong
        end
        local made = {remove = step.remove or {}, add = {}}
        for place, addition in ipairs(step.add or {}) do
            local one, err = compile_addition(addition)
            if not one then
                return nil, err
            end
            made.add[place] = one
        end
        compiled[at] = made
    end
    return compiled
end


-- A header's values and one more.
local function with(values, value, one_line)
    if not values then
        return value
    elseif one_line then
        return (type(values) == "table" and concat(values, ",") or values) .. "," .. value
    elseif type(values) ~= "table" then
        return {values, value}
    end
    local all = {}
    for at, one in ipairs(values) do
        all[at] = one
    end
    all[#all + 1] = value
    return all
end


local function add(additions, ctx, nginx, side)
    -- Every value is made before any header is added.
    local values, count = {}, #additions
    for at = 1, count do
        local addition = additions[at]
        local value = addition.value
        if type(value) == "function" then
            value = value(ctx, nginx)
        end
        local action = addition.action
        if value ~= ""
            and (action == "append" or action == "overwrite"
                or (side.get(ctx, addition.name) ~= nil) == (action == "overwrite_if_exists")) then
            values[at] = value
        end
    end
    -- And what replaces something comes first.
    for at = 1, count do
        local action = additions[at].action
        if values[at] and (action == "overwrite" or action == "overwrite_if_exists") then
            side.set(ctx, additions[at].name, values[at])
        end
    end
    for at = 1, count do
        local addition = additions[at]
        if values[at] and (addition.action == "append" or addition.action == "add_if_absent") then
            local name = addition.name
            side.set(ctx, name, with(side.get(ctx, name), values[at], side.one_line[name]))
        end
    end
end


--- Makes the changes. `side` has `get(ctx, name)`, which gives a text, a list of texts or nil; `set(ctx, name, value)`,
-- which takes the same; and `one_line`, the names of headers that have one value.
function _M.apply(steps, ctx, nginx, side)
    for at = 1, #steps do
        local step = steps[at]
        local removed = step.remove
        for place = 1, #removed do
            side.set(ctx, removed[place], nil)
        end
        if step.add[1] then
            add(step.add, ctx, nginx, side)
        end
    end
end


return _M
