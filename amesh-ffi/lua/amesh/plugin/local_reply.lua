--- Answers that Envoy gives itself, in the form that the client understands: gRPC clients get a status in headers.

local tonumber = tonumber

local _M = {}

-- What gRPC makes of a status of HTTP; 2, unknown, of any other.
local OF_HTTP = {[400] = 13, [401] = 16, [403] = 7, [404] = 12, [429] = 14, [502] = 14, [503] = 14, [504] = 14}


local function is_grpc(nginx, ctx)
    local kind = nginx.request_header(ctx, "Content-Type")
    return kind ~= nil and (kind == "application/grpc" or kind:sub(1, 17) == "application/grpc+")
end


-- gRPC's own escapes.
local function escaped(text)
    return (text:gsub("[^ -$&-~]", function(char)
        return ("%%%02X"):format(char:byte())
    end))
end


--- Ends the request. With `grpc_status` that is the status for gRPC clients, else what they make of the other one.
function _M.send(nginx, ctx, status, body, grpc_status)
    if not is_grpc(nginx, ctx) then
        return nginx.answer(status, body, body ~= "" and "text/plain" or nil)
    end
    nginx.set_response_header("grpc-status", grpc_status or OF_HTTP[tonumber(status)] or 2)
    if body ~= "" then
        nginx.set_response_header("grpc-message", escaped(body))
    end
    return nginx.answer(200, "", "application/grpc")
end


return _M
