--- What an upstream may have in flight at a time: Envoy's circuit breakers.
--
-- The limits stand in the label `amesh-limits` of the upstream, and in `amesh-limits-high` for routes of a high priority:
--
--     connections=1,streams=1,pending=1,requests=5,retries=3,retry-percent=20
--
-- Each part may be absent, which is no limit. `streams` are the requests that a connection takes at a time, one unless said.
-- `retries` with `retry-percent` is the least, and the part of the requests in flight the most where that is more.

local local_reply = require("amesh.plugin.local_reply")
local plugin = require("amesh.plugin")

local floor = math.floor
local math_huge = math.huge
local math_max = math.max
local setmetatable = setmetatable
local tonumber = tonumber

local _M = {
    name = "amesh-limit",
    -- After the upstream of a request is chosen, and before copies of it are sent.
    priority = 10550,
}

local OVERFLOW = "upstream connect error or disconnect/reset before headers. reset reason: overflow"

local KNOWN = {connections = true, streams = true, pending = true, requests = true, retries = true, ["retry-percent"] = true}

-- For each label, what it says on the upstreams that were asked for. Other labels of an upstream are another table.
local DEFAULT = {label = "amesh-limits", suffix = "", read = setmetatable({}, {__mode = "k"})}
local HIGH = {label = "amesh-limits-high", suffix = " high", read = setmetatable({}, {__mode = "k"})}


function _M.compile(conf)
    local wrong = plugin.wrong(conf, {high = "boolean?"}, "amesh-limit")
    if wrong then
        return nil, wrong
    end
    return conf.high and HIGH or DEFAULT
end


-- The limits that a label states; nil and what is wrong.
local function parse(text)
    local limits = {}
    for part in text:gmatch("[^,]+") do
        local name, value = part:match("^([%a-]+)=([%d.]+)$")
        value = tonumber(value)
        if not value or not KNOWN[name] then
            return nil, "no such limit: " .. part
        end
        limits[name] = value
    end
    return limits
end
_M.parse = parse


--- How many requests there may be in flight; nil for any number.
--
-- An endpoint without a connection gets one, whatever the limit. A request that finds all connections taken waits for one;
-- one that has a connection and is one too many does not.
function _M.most(limits, nodes)
    if limits.pending == 0 then
        -- A first connection has to be waited for too.
        return 0
    end
    local on_connections = limits.connections and math_max(limits.connections, nodes) * (limits.streams or 1)
    if limits.requests and not (on_connections and on_connections <= limits.requests) then
        return limits.requests
    end
    return on_connections and on_connections + limits.pending
end


-- What holds for the requests of a route to an upstream; false where nothing does.
local function limits_of(limit, upstream, nginx)
    local labels = upstream.labels
    if not labels then
        return false
    end
    local limits = limit.read[labels]
    if limits == nil then
        local text = labels[limit.label]
        local stated, err
        if text then
            stated, err = parse(text)
        end
        if stated then
            stated.name = upstream.id .. limit.suffix
            stated.retry_name = "retries " .. stated.name
        elseif err then
            nginx.log_error("amesh: limits of upstream ", upstream.id, " are not enforced: ", err)
        end
        limits = stated or false
        limit.read[labels] = limits
    end
    return limits
end


-- Counts one more request in flight, if that is of interest.
-- @return whether there may be one more
-- @return whether it was counted, and has to be given back
local function enter(limits, upstream, nginx)
    -- Nodes that a name stands for may be others each time.
    local most = _M.most(limits, #upstream.nodes) or limits["retry-percent"] and math_huge
    if not most then
        return true, false
    end
    return nginx.counts():take(limits.name, most)
end


local function refuse(ctx, nginx)
    -- It is not the endpoint that failed.
    nginx.forget_checker(ctx)
    -- What `amesh-retry` tells the client.
    ctx.amesh_attempts = 1
    nginx.set_response_header("x-envoy-overloaded", "true")
    return local_reply.send(nginx, ctx, 503, OVERFLOW)
end


function _M.before_proxy(limit, ctx, nginx)
    local upstream = nginx.upstream(ctx)
    local limits = limits_of(limit, upstream, nginx)
    if not limits then
        return nil
    end
    local taken, counted = enter(limits, upstream, nginx)
    if not taken then
        return refuse(ctx, nginx)
    end
    ctx.amesh_limits, ctx.amesh_in_flight = limits, counted
end


--- Whether a copy of a request may be sent to an upstream, and what to call when it is done, if anything.
function _M.admit_copy(upstream, nginx)
    local limits = limits_of(DEFAULT, upstream, nginx)
    if not limits then
        return true
    end
    local taken, counted = enter(limits, upstream, nginx)
    return taken, counted and function() nginx.counts():give(limits.name) end or nil
end


--- Whether a request may be tried again, as far as its upstream's limits go.
function _M.may_retry(ctx, nginx)
    local limits = ctx.amesh_limits
    local most = limits and limits.retries
    if not most then
        return true
    end
    local counts = nginx.counts()
    if limits["retry-percent"] then
        most = math_max(most, floor(counts:of(limits.name) * limits["retry-percent"] / 100))
    end
    if ctx.amesh_retrying then
        -- The try before is over.
        counts:give(limits.retry_name)
        ctx.amesh_retrying = nil
    end
    local taken, counted = counts:take(limits.retry_name, most)
    ctx.amesh_retrying = counted
    return taken
end


function _M.log(_, ctx, nginx)
    local limits = ctx.amesh_limits
    if limits then
        ctx.amesh_limits = nil
        if ctx.amesh_in_flight then
            ctx.amesh_in_flight = nil
            nginx.counts():give(limits.name)
        end
        if ctx.amesh_retrying then
            ctx.amesh_retrying = nil
            nginx.counts():give(limits.retry_name)
        end
    end
end


return _M
