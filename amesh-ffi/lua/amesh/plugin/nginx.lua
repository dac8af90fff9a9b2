--- What plugins need of nginx and of APISIX. Tests pass tables of their own.

local core = require("apisix.core")

local ngx = ngx

local _M = {}


--- A variable of nginx or of APISIX.
function _M.var(ctx, name)
    return ctx.var[name]
end


--- The request line's target as the client sent it.
function _M.target(ctx)
    return ctx.var.real_request_uri or ctx.var.request_uri
end


--- A header of the request; the first value where there are several.
function _M.request_header(ctx, name)
    return core.request.header(ctx, name)
end


_M.decode_base64 = ngx.decode_base64


--- Sets a header of the response; nil removes it.
function _M.set_response_header(name, value)
    ngx.header[name] = value
end


--- Ends the request with this answer. Returning a status from a phase would log a warning for each.
function _M.answer(status, body, content_type)
    -- Nothing else keeps nginx from its default type.
    ngx.header["Content-Type"] = content_type or ""
    if status ~= 204 and status ~= 304 then
        ngx.header["Content-Length"] = #body
    end
    -- Even an empty body: without one nginx would write a page of its own.
    return core.response.exit(status, body)
end


return _M
