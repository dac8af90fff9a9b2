--- Faults on purpose: a delay, then an answer in place of the upstream's, each for its own part of the requests.

local local_reply = require("amesh.plugin.local_reply")
local part = require("amesh.plugin.part")
local plugin = require("amesh.plugin")

local math_min = math.min
local tonumber = tonumber

local _M = {
    name = "amesh-fault",
    priority = 10900,
}

-- Requests of this worker that have a fault.
local active = 0


local function compile_delay(delay)
    local wrong = plugin.wrong(delay, {milliseconds = "number?", part = "table"}, "delay")
        or part.wrong(delay.part, "delay.part")
    if wrong then
        return nil, wrong
    end
    return delay
end


local function compile_abort(abort)
    local wrong = plugin.wrong(abort, {
        http_status = "number?", grpc_status = "number?", body = "string", part = "table",
    }, "abort") or part.wrong(abort.part, "abort.part")
    if wrong then
        return nil, wrong
    end
    local status = abort.http_status
    if status and (status < 200 or status > 599) then
        return nil, "abort.http_status must be from 200 to 599"
    end
    return abort
end


function _M.compile(conf, nginx)
    local wrong = plugin.wrong(conf, {
        vars = "table?", delay = "table?", abort = "table?", max_active = "number?",
    }, "amesh-fault")
    if wrong then
        return nil, wrong
    end
    local fault = {max_active = conf.max_active}
    local applies, err = nginx.conditions(conf.vars or {})
    fault.applies = applies
    if not err and conf.delay then
        fault.delay, err = compile_delay(conf.delay)
    end
    if not err and conf.abort then
        fault.abort, err = compile_abort(conf.abort)
    end
    if err then
        return nil, err
    end
    return fault
end


-- A whole number in a header of the request.
local function number(nginx, ctx, name)
    local value = nginx.request_header(ctx, name)
    value = value and value:match("^%s*%+?(%d+)%s*$")
    return value and tonumber(value)
end


-- Whether the request is one of those that a fault is for which it asks for itself; it may ask for a smaller part.
local function drawn_by_header(fault, nginx, ctx, name)
    local asked = number(nginx, ctx, name)
    return part.drawn(fault.part, nginx, asked and math_min(asked, fault.part.numerator))
end


local function milliseconds(delay, ctx, nginx)
    if delay.milliseconds then
        return part.drawn(delay.part, nginx) and delay.milliseconds or 0
    end
    local asked = number(nginx, ctx, "x-envoy-fault-delay-request")
    if not asked or not drawn_by_header(delay, nginx, ctx, "x-envoy-fault-delay-request-percentage") then
        return 0
    end
    return asked
end


-- The status, and that of gRPC; nothing where the request is not aborted.
local function statuses(abort, ctx, nginx)
    if abort.http_status or abort.grpc_status then
        if part.drawn(abort.part, nginx) then
            return abort.http_status or 200, abort.grpc_status
        end
        return nil
    end
    local http = number(nginx, ctx, "x-envoy-fault-abort-request")
    if http and (http < 200 or http > 599) then
        http = nil
    end
    local grpc = not http and number(nginx, ctx, "x-envoy-fault-abort-grpc-request") or nil
    if (http or grpc) and drawn_by_header(abort, nginx, ctx, "x-envoy-fault-abort-request-percentage") then
        return http or 200, grpc
    end
    return nil
end


local function count(ctx)
    if not ctx.amesh_fault then
        ctx.amesh_fault = true
        active = active + 1
    end
end


function _M.rewrite(fault, ctx, nginx)
    if fault.max_active and active >= fault.max_active or not fault.applies(ctx.var) then
        return nil
    end
    local wait = fault.delay and milliseconds(fault.delay, ctx, nginx) or 0
    if wait > 0 then
        count(ctx)
        nginx.sleep(wait / 1000)
    end
    local status, grpc_status
    if fault.abort then
        status, grpc_status = statuses(fault.abort, ctx, nginx)
    end
    if not status then
        return nil
    end
    count(ctx)
    return local_reply.send(nginx, ctx, status, fault.abort.body, grpc_status)
end


function _M.log(_, ctx)
    if ctx.amesh_fault then
        ctx.amesh_fault = nil
        active = active - 1
    end
end


return _M
