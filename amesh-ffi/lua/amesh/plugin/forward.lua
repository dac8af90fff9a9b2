--- What Envoy's router does to a request on its way to an upstream.

local headers = require("amesh.plugin.headers")
local plugin = require("amesh.plugin")

local _M = {
    name = "amesh-forward",
    priority = 10600,
}


function _M.compile(conf)
    local wrong = plugin.wrong(conf, {headers = "table?"}, "amesh-forward")
    if wrong then
        return nil, wrong
    end
    local steps, err = headers.compile(conf.headers or {})
    if not steps then
        return nil, err
    end
    return {steps = steps}
end


function _M.rewrite(forward, ctx, nginx)
    headers.apply(forward.steps, ctx, nginx, nginx.request_headers)
end


return _M
