--- How long a request may take, and when it is tried again: Envoy's timeouts and retry policies.
--
-- APISIX asks this plugin before every try: before the first one in the access phase, where timeouts and the number of
-- further tries are still to be set, and before the others in nginx's balancer phase. nginx goes to the next try after
-- every failure that `proxy_next_upstream` names. What the policy of the route would not have tried again ends there.

local deadline = require("amesh.plugin.deadline")
local limit = require("amesh.plugin.limit")
local plugin = require("amesh.plugin")

local ipairs = ipairs
local math_floor = math.floor
local math_max = math.max
local math_min = math.min
local tonumber = tonumber
local tostring = tostring

local _M = {
    name = "amesh-retry",
    every_try = true,
    priority = 10300,
}

local ATTEMPTS = "x-envoy-attempt-count"
local EXPECTED = "x-envoy-expected-rq-timeout-ms"

-- What nginx is told where nothing is bounded: a day.
local NO_LIMIT = 86400


function _M.compile(conf)
    local wrong = plugin.wrong(conf, {
        timeout = "number?", stream_timeout = "number?", grpc_timeout_max = "number?", grpc_stream_timeout = "boolean?",
        idle_timeout = "number?", retry = "table?", attempt_count = "boolean?", attempt_count_in_response = "boolean?",
    }, "amesh-retry")
    if not wrong and conf.retry then
        wrong = plugin.wrong(conf.retry, {
            times = "number", per_try_timeout = "number?", on = "table", statuses = "table?",
        }, "amesh-retry.retry")
    end
    if wrong then
        return nil, wrong
    end
    local policy = {
        timeout = conf.timeout, stream_timeout = conf.stream_timeout, idle = conf.idle_timeout, times = 0,
        grpc_timeout_max = conf.grpc_timeout_max, grpc_stream_timeout = conf.grpc_stream_timeout,
        counts = conf.attempt_count, tells = conf.attempt_count_in_response,
    }
    if conf.retry then
        policy.times = conf.retry.times
        policy.per_try = conf.retry.per_try_timeout
        policy.on = {}
        for _, failure in ipairs(conf.retry.on) do
            if failure ~= "connect" and failure ~= "reset" then
                return nil, "amesh-retry.retry.on knows no " .. failure
            end
            policy.on[failure] = true
        end
        policy.statuses = {}
        for _, status in ipairs(conf.retry.statuses or {}) do
            policy.statuses[status] = true
        end
    end
    return policy
end


local function set_waits(policy, left, connect)
    local wait = math_min(left or NO_LIMIT, policy.per_try or NO_LIMIT, policy.idle or NO_LIMIT)
    return math_max(0.001, math_min(connect, wait)), math_max(0.001, wait)
end


-- Tells the upstream how long it may take, where there is a limit.
local function tell(policy, left, ctx, nginx)
    local one = policy.per_try
    local expected = one and left and math_min(one, left) or one or left
    if expected and not ctx.amesh_suppress then
        nginx.request_headers.set(ctx, EXPECTED, tostring(math_max(1, math_floor(expected * 1000 + 0.5))))
    end
end


-- What the last try came to: a connection that did not come about, one that was lost, or the status of an answer.
local function last_try(nginx)
    local state, status = nginx.last_failure()
    -- nginx says "next" of 403 and 404 alone, and "failed" of other statuses too: then a header came.
    local headers = nginx.tries("upstream_header_time")
    if state == "next" or (headers[#headers] or "-") ~= "-" then
        return "status", status
    end
    -- Not the time that it took to connect, which nginx notes for some refused connections too.
    local sent = nginx.tries("upstream_bytes_sent")
    return sent[#sent] == "0" and "connect" or "reset", status
end


local function first(policy, ctx, nginx)
    local told = deadline.told(policy, ctx, nginx)
    tell(policy, told, ctx, nginx)
    ctx.amesh_told = told
    local left = deadline.total(policy, ctx, nginx)
    if left and ctx.amesh_waited then
        left = left - ctx.amesh_waited
    end
    ctx.amesh_total = left
    local connect, wait = set_waits(policy, left, nginx.connect_timeout(ctx))
    nginx.set_tries(ctx, connect, wait, policy.times)
end


-- The time that the tries so far took.
local function spent(nginx)
    local sum = 0
    for _, time in ipairs(nginx.tries("upstream_response_time")) do
        sum = sum + (tonumber(time) or 0)
    end
    return sum
end


local function again(policy, ctx, nginx)
    local failure, status = last_try(nginx)
    local wanted = policy.times > 0
        and (failure == "status" and policy.statuses[status] or policy.on[failure])
    if not wanted or not limit.may_retry(ctx, nginx) then
        return nginx.fail(status)
    end
    local used = spent(nginx)
    local left = ctx.amesh_total and ctx.amesh_total - used
    if left and left <= 0 then
        return nginx.fail(504)
    end
    tell(policy, ctx.amesh_told and ctx.amesh_told - used, ctx, nginx)
    local connect, wait = set_waits(policy, left, nginx.connect_timeout(ctx))
    nginx.set_timeouts(connect, wait)
end


function _M.before_proxy(policy, ctx, nginx)
    if nginx.in_balancer() then
        again(policy, ctx, nginx)
    else
        first(policy, ctx, nginx)
    end
    ctx.amesh_attempts = (ctx.amesh_attempts or 0) + 1
    if policy.counts then
        nginx.request_headers.set(ctx, ATTEMPTS, tostring(ctx.amesh_attempts))
    end
end


function _M.header_filter(policy, ctx, nginx)
    if policy.tells and ctx.amesh_attempts then
        nginx.set_response_header(ATTEMPTS, tostring(ctx.amesh_attempts))
    end
end


return _M
