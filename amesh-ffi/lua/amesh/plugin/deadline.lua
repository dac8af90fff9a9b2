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


--- Seconds; nil for no limit. `conf` is what `amesh-retry` is told.
function _M.total(conf, ctx, nginx)
    if nginx.request_header(ctx, "Upgrade") then
        -- Envoy counts from the end of the request, which such a connection does not have.
        return nil
    end
    local grpc_max = conf.grpc_timeout_max
    if grpc_max and (nginx.request_header(ctx, "Content-Type") or ""):find("^application/grpc") then
        local wanted = asked(ctx, nginx)
        if grpc_max == 0 then
            return wanted
        end
        return math_min(wanted or grpc_max, grpc_max)
    end
    return conf.timeout
end


return _M
