--- Sends copies of requests, apart from the requests.

local balancer = require("apisix.balancer")
local core = require("apisix.core")
local http = require("resty.http")
local upstream = require("apisix.upstream")

local io_open = io.open
local ngx = ngx
local pairs = pairs
local setmetatable = setmetatable

local _M = {}

-- What says how the client sent the request, not what it sent; the copy has its own.
local OF_THE_CONNECTION = {
    "connection", "content-length", "expect", "host", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade",
}

-- What nginx keeps of an answer that nobody wants.
local PIECE = 65536


local function body()
    ngx.req.read_body()
    local data = ngx.req.get_body_data()
    local name = not data and ngx.req.get_body_file()
    if name then
        local file = io_open(name, "rb")
        if file then
            data = file:read("*a")
            file:close()
        end
    end
    return data
end


--- The request as its upstream gets it.
function _M.request(ctx)
    local var = ngx.var
    local headers = ngx.req.get_headers(0)
    for _, name in pairs(OF_THE_CONNECTION) do
        headers[name] = nil
    end
    -- As Envoy marks its copies.
    headers["X-Envoy-Internal"] = "true"
    -- No line, rather than the library's own.
    headers["User-Agent"] = headers["User-Agent"] or {}
    headers["X-Real-IP"] = var.remote_addr
    headers["X-Forwarded-For"] = var.proxy_add_x_forwarded_for
    local target = var.upstream_uri
    target = target and target ~= "" and target or ctx.var.real_request_uri or var.request_uri
    local path, query = target:match("^([^?]*)(.*)$")
    return {
        method = ngx.req.get_method(),
        path = path,
        query = query,
        host = var.upstream_host or var.http_host or "",
        headers = setmetatable(headers, nil),
        body = body(),
    }
end


local function send(request, headers, node, scheme, host, timeout)
    local client = http.new()
    client:set_timeouts(timeout.connect * 1000, timeout.send * 1000, timeout.read * 1000)
    local ok = client:connect({
        scheme = scheme, host = node.host, port = node.port, ssl_verify = false, ssl_server_name = host,
    })
    local answer = ok and client:request({
        method = request.method, path = request.path, query = request.query, headers = headers, body = request.body,
    })
    if not answer then
        client:close()
        return
    end
    local reader = answer.body_reader
    while reader do
        local piece, err = reader(PIECE)
        if err then
            client:close()
            return
        elseif not piece then
            break
        end
    end
    client:set_keepalive()
end


local function send_and_tell(premature, done, ...)
    if not premature then
        send(...)
    end
    if done then
        done()
    end
end


--- Sends a copy to a node of an upstream. Where that cannot be, it is not sent, and nobody is told.
--
-- `admit` says for an upstream whether it may be, and gives what to call when it is done, if anything.
function _M.send(ctx, request, id, host, admit)
    local conf = upstream.get_by_id(id)
    local scheme = conf and (conf.scheme or "http")
    if not conf or not conf.nodes or #conf.nodes == 0 or scheme ~= "http" and scheme ~= "https" or conf.tls then
        return
    end
    -- What the choice of a node notes is not to be seen in the request itself.
    local own = {matched_upstream = conf, var = setmetatable({}, {__index = ctx.var})}
    local status = upstream.set_by_route(nil, own)
    local node = not status and balancer.pick_server(nil, own)
    if not node then
        return
    end
    local headers = {Host = host}
    for name, value in pairs(request.headers) do
        headers[name] = value
    end
    local timeout = conf.timeout or {connect = 10, send = 60, read = 60}
    local admitted, done = admit(conf)
    if not admitted then
        return
    end
    local address = {host = node.host, port = node.port}
    local ok, err = ngx.timer.at(0, send_and_tell, done, request, headers, address, scheme, host, timeout)
    if not ok then
        core.log.warn("amesh: a copy of a request is not sent: ", err)
        if done then
            done()
        end
    end
end


return _M
