--- What Envoy's router does to a response on its way to the client, be it an upstream's or an answer of its own.

local headers = require("amesh.plugin.headers")
local manager = require("amesh.plugin.manager")
local plugin = require("amesh.plugin")

local _M = {
    name = "amesh-response",
    priority = 10200,
}


function _M.compile(conf)
    local wrong = plugin.wrong(conf, {headers = "table?"}, "amesh-response")
    if wrong then
        return nil, wrong
    end
    local steps, err = headers.compile(conf.headers or {})
    if not steps then
        return nil, err
    end
    return {change = function(ctx, nginx, side)
        -- First the changes of the member of a weighted set that `amesh-forward` chose.
        if ctx.amesh_response then
            headers.apply(ctx.amesh_response, ctx, nginx, side)
        end
        headers.apply(steps, ctx, nginx, side)
    end}
end


-- Envoy changes the headers of an answer of its own before the answer has a type and a length.
local function change_answer(ctx, nginx, change)
    local all = nginx.response_headers
    local kind = all.get(ctx, "content-type")
    all.set(ctx, "content-type", nil)
    change(ctx, nginx, {
        one_line = all.one_line,
        get = function(_, name) return name ~= "content-length" and all.get(ctx, name) or nil end,
        set = function(_, name, value)
            if name ~= "content-length" then
                all.set(ctx, name, value)
            end
        end,
    })
    if not all.get(ctx, "content-type") then
        all.set(ctx, "content-type", kind or "")
    end
end


function _M.header_filter(response, ctx, nginx)
    manager.before_changes(ctx, nginx)
    if nginx.var(ctx, "upstream_status") then
        response.change(ctx, nginx, nginx.response_headers)
    else
        change_answer(ctx, nginx, response.change)
    end
    manager.after_changes(ctx, nginx)
end


return _M
