--- Copies of requests to other upstreams, whose answers nobody waits for.
--
-- nginx's own mirror has one target, sends the host of the request, and keeps the client's connection until it is done. So
-- copies are sent apart from the request, after everything else that changes it.

local part = require("amesh.plugin.part")
local plugin = require("amesh.plugin")

local ipairs = ipairs

local _M = {
    name = "amesh-mirror",
    priority = 10500,
}


function _M.compile(conf)
    local wrong = plugin.wrong(conf, {copies = "table"}, "amesh-mirror")
    if wrong then
        return nil, wrong
    end
    for index, copy in ipairs(conf.copies) do
        local at = "copies[" .. index .. "]"
        wrong = plugin.wrong(copy, {
            upstream_id = "string", host = "string?", keep_host = "boolean?", part = "table?",
        }, at) or copy.part and part.wrong(copy.part, at .. ".part")
        if wrong then
            return nil, wrong
        end
    end
    return conf
end


-- `a:80` is `a-shadow:80`.
local function shadow(host)
    local name, port = host:match("^(.*)(:%d+)$")
    if name and (not name:find(":", 1, true) or name:sub(-1) == "]") then
        return name .. "-shadow" .. port
    end
    return host .. "-shadow"
end


function _M.before_proxy(conf, ctx, nginx)
    local request
    for _, copy in ipairs(conf.copies) do
        if not copy.part or part.drawn(copy.part, nginx) then
            request = request or nginx.request(ctx)
            local host = copy.host or copy.keep_host and request.host or shadow(request.host)
            nginx.send_copy(ctx, request, copy.upstream_id, host)
        end
    end
end


return _M
