--- What Envoy's connection manager does to the headers of requests and answers, whichever route takes them.
--
-- What a configuration does not say is Envoy's default, so that most routes say nothing.

local plugin = require("amesh.plugin")

local tostring = tostring

local _M = {}

local FIELDS = {
    server = "string?", upstream_server = "boolean?", request_id = "string?", request_id_in_response = "boolean?",
    suppress_envoy_headers = "boolean?",
}


function _M.compile(conf)
    conf = conf or {}
    local wrong = plugin.wrong(conf, FIELDS, "manager")
    if wrong then
        return nil, wrong
    end
    local id = conf.request_id
    if id and id ~= "replace" and id ~= "keep" then
        return nil, "manager.request_id must be replace or keep"
    end
    local upstream = conf.upstream_server
    return {
        server = conf.server or not upstream and "envoy" or nil, upstream_server = upstream,
        new_id = id == "replace", any_id = id ~= "keep", tell_id = conf.request_id_in_response,
        suppress = conf.suppress_envoy_headers,
    }
end


--- Gives a request its id.
function _M.request(manager, ctx, nginx)
    if not manager.any_id or ctx.amesh_id then
        return
    end
    local id = nginx.request_header(ctx, "x-request-id")
    if manager.new_id or not id or id == "" then
        id = nginx.uuid(ctx)
        nginx.request_headers.set(ctx, "x-request-id", id)
    end
    -- Once: another try is of the same request.
    ctx.amesh_id = id
end


--- Names the proxy in an answer, before a route's changes of its headers.
function _M.answer(manager, ctx, nginx)
    local name = manager.server
    if manager.upstream_server then
        local theirs = nginx.var(ctx, "upstream_http_server")
        -- For the changes.
        ctx.amesh_server, ctx.amesh_named = name, not theirs
        name = theirs or name
    end
    nginx.set_response_header("Server", name)
    if manager.tell_id then
        -- Who answered for the route, as a fault does, came first.
        _M.request(manager, ctx, nginx)
        ctx.amesh_told_id = nginx.request_header(ctx, "x-request-id")
        nginx.set_response_header("X-Request-Id", ctx.amesh_told_id)
    end
    -- Envoy does not tell clients whose error it is.
    nginx.set_response_header("X-APISIX-Upstream-Status", nil)
end


--- Tells the client how long the upstream took.
function _M.tell_time(manager, nginx)
    local time = not manager.suppress and nginx.service_time()
    if time then
        nginx.set_response_header("x-envoy-upstream-service-time", tostring(time))
    end
end


--- Before a route changes the headers of an answer: to Envoy's router the proxy has not named itself yet.
function _M.before_changes(ctx, nginx)
    if ctx.amesh_server and ctx.amesh_named then
        nginx.set_response_header("Server", nil)
    end
end


--- After that.
function _M.after_changes(ctx, nginx)
    if ctx.amesh_server and not nginx.response_header("server") then
        nginx.set_response_header("Server", ctx.amesh_server)
    end
    if ctx.amesh_told_id then
        nginx.set_response_header("X-Request-Id", ctx.amesh_told_id)
    end
end


return _M
