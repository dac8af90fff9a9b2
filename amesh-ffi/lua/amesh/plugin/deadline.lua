--- How long a request may take, with all its tries.

local math_min = math.min
local tonumber = tonumber

local _M = {}

-- The units of `grpc-timeout`, in seconds.
local UNITS = {H = 3600, M = 60, S = 1, m = 1e-3, u = 1e-6, n = 1e-9}


-- What a gRPC client asks for, in seconds.
local function asked(ctx, nginx)
    local value, unit = (nginx.request_header(ctx, "grpc-timeout") or ""):match("^(%d%d?%d?%d?%d?%d?%d?%d?)([HMSmun])$")
    return value and tonumber(value) * UNITS[unit]
end


-- Whether a gRPC client has a say, and what that comes to.
local function grpc(conf, ctx, nginx)
    local most = conf.grpc_timeout_max
    if not most or not (nginx.request_header(ctx, "Content-Type") or ""):find("^application/grpc") then
        return false
    end
    local wanted = asked(ctx, nginx)
    if most == 0 then
        return true, wanted
    end
    return true, math_min(wanted or most, most)
end


--- Seconds; nil for no limit. `conf` is what `amesh-retry` is told.
function _M.total(conf, ctx, nginx)
    if nginx.request_header(ctx, "Upgrade") then
        -- Envoy counts from the end of the request, which such a connection does not have.
        return nil
    end
    local asks, limit = grpc(conf, ctx, nginx)
    if asks then
        return limit
    end
    local stream = conf.stream_timeout
    return stream and math_min(stream, conf.timeout or stream) or conf.timeout
end


--- How much of it upstreams are told of.
function _M.told(conf, ctx, nginx)
    local asks, limit = grpc(conf, ctx, nginx)
    if asks and not conf.grpc_stream_timeout then
        return limit
    end
    return conf.timeout
end


return _M
