--- What an upstream may have in flight at a time: Envoy's circuit breakers.
--
-- The limits stand in the label `amesh-limits` of the upstream, and in `amesh-limits-high` for routes of a high priority:
--
--     connections=1,streams=1,pending=1,requests=5,retries=3,retry-percent=20
--
-- Each part may be absent, which is no limit. `streams` are the requests that a connection takes at a time, one unless
-- said; `pending` requests may wait for one. `retries` with `retry-percent` is the least that may be further tries, and the
-- part of the requests the most where that is more.

local deadline = require("amesh.plugin.deadline")
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


--- How many requests may be with the upstream at a time; nil for any number.
--
-- An endpoint without a connection gets one, whatever the limit. A request that finds all connections taken waits for one;
-- one that has a connection and is one too many does not.
-- @return whether others may wait
function _M.most(limits, nodes)
    if limits.pending == 0 then
        -- A first connection has to be waited for too.
        return 0, false
    end
    local on_connections = limits.connections and math_max(limits.connections, nodes) * (limits.streams or 1)
    if limits.requests and not (on_connections and on_connections <= limits.requests) then
        return limits.requests, false
    end
    return on_connections, on_connections ~= nil
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
            stated.waiting_name = "waiting " .. stated.name
        elseif err then
            nginx.log_error("amesh: limits of upstream ", upstream.id, " are not enforced: ", err)
        end
        limits = stated or false
        limit.read[labels] = limits
    end
    return limits
end


-- How many endpoints may have a connection.
local function endpoints(upstream)
    -- The nodes of such an upstream stand for nothing.
    return upstream.type == "amesh_original_dst" and 1 or #upstream.nodes
end


-- One less in flight, and whoever waits first may look.
local function done(name, nginx)
    nginx.counts():give(name)
    nginx.lines():call(name)
end


local function refuse(ctx, nginx)
    -- It is not the endpoint that failed.
    nginx.forget_checker(ctx)
    -- What `amesh-retry` tells the client.
    ctx.amesh_attempts = 1
    nginx.set_response_header("x-envoy-overloaded", "true")
    return local_reply.send(nginx, ctx, 503, OVERFLOW)
end


local function leave(ctx, limits, nginx)
    local place = ctx.amesh_place
    ctx.amesh_place = nil
    nginx.lines():leave(place)
    if place.counted then
        nginx.counts():give(limits.waiting_name)
    end
end


-- Waits for its turn.
-- @return true where it has come, false where there are too many that wait, nil where it took too long
-- @return whether the request was counted, and has to be given back
local function await(limits, most, ctx, nginx)
    local counts, lines = nginx.counts(), nginx.lines()
    local waits, counted = true, false
    if limits.pending then
        waits, counted = counts:take(limits.waiting_name, limits.pending)
    end
    if not waits then
        return false
    end
    local began = nginx.now()
    local retry = nginx.conf_of(ctx, "amesh-retry")
    local total = retry and deadline.total(retry, ctx, nginx) or math_huge
    local place = lines:join(limits.name)
    place.counted = counted
    -- A client that leaves ends the request in the middle of this.
    ctx.amesh_place = place
    local taken, waited
    repeat
        local first = lines:wait(place, total - (waited or 0))
        waited = nginx.now() - began
        if first then
            taken, counted = counts:take(limits.name, most)
        end
    until taken or waited >= total
    leave(ctx, limits, nginx)
    ctx.amesh_waited = waited
    return taken or nil, counted
end


function _M.before_proxy(limit, ctx, nginx)
    local upstream = nginx.upstream(ctx)
    local limits = limits_of(limit, upstream, nginx)
    if not limits then
        return nil
    end
    -- Nodes that a name stands for may be others each time.
    local most, waits = _M.most(limits, endpoints(upstream))
    -- A part of what is in flight is known only where that is counted.
    most = most or limits["retry-percent"] and math_huge
    ctx.amesh_limits = limits
    if not most then
        return nil
    end
    local taken, counted = false, false
    if not waits or nginx.lines():is_empty(limits.name) then
        taken, counted = nginx.counts():take(limits.name, most)
    end
    if not taken and waits then
        taken, counted = await(limits, most, ctx, nginx)
    end
    if taken then
        ctx.amesh_in_flight = counted
    elseif taken == false then
        return refuse(ctx, nginx)
    else
        nginx.forget_checker(ctx)
        ctx.amesh_attempts = 1
        return local_reply.send(nginx, ctx, 504, "upstream request timeout")
    end
end


--- Whether a copy of a request may be sent to an upstream, and what to call when it is done, if anything. Copies do not
-- wait: as many more may be with the upstream as might.
function _M.admit_copy(upstream, nginx)
    local limits = limits_of(DEFAULT, upstream, nginx)
    local most, waits
    if limits then
        most, waits = _M.most(limits, endpoints(upstream))
    end
    if not most then
        return true
    end
    if waits then
        most = most + (limits.pending or math_huge)
    end
    local taken, counted = nginx.counts():take(limits.name, most)
    return taken, counted and function() done(limits.name, nginx) end or nil
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
        local requests = counts:of(limits.name) + counts:of(limits.waiting_name)
        most = math_max(most, floor(requests * limits["retry-percent"] / 100))
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
        if ctx.amesh_place then
            leave(ctx, limits, nginx)
        end
        if ctx.amesh_in_flight then
            ctx.amesh_in_flight = nil
            done(limits.name, nginx)
        end
        if ctx.amesh_retrying then
            ctx.amesh_retrying = nil
            nginx.counts():give(limits.retry_name)
        end
    end
end


return _M
