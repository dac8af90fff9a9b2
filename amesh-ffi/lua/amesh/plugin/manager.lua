--- What Envoy's connection manager does to the headers of requests and answers, whichever route takes them.
--
-- What a configuration does not say is Envoy's default, so that most routes say nothing.

local format = require("amesh.plugin.format")
local plugin = require("amesh.plugin")

local ipairs = ipairs
local pairs = pairs
local tostring = tostring

local _M = {}

-- What Envoy lets only clients inside a mesh tell it.
local CONTROL = {
    ["x-envoy-expected-rq-timeout-ms"] = true,
    ["x-envoy-force-trace"] = true,
    ["x-envoy-hedge-on-per-try-timeout"] = true,
    ["x-envoy-internal"] = true,
    ["x-envoy-ip-tags"] = true,
    ["x-envoy-max-retries"] = true,
    ["x-envoy-original-url"] = true,
    ["x-envoy-retriable-header-names"] = true,
    ["x-envoy-retriable-status-codes"] = true,
    ["x-envoy-retry-grpc-on"] = true,
    ["x-envoy-retry-on"] = true,
    ["x-envoy-upstream-alt-stat-name"] = true,
    ["x-envoy-upstream-rq-per-try-timeout-ms"] = true,
    ["x-envoy-upstream-rq-timeout-alt-response"] = true,
    ["x-envoy-upstream-rq-timeout-ms"] = true,
    ["x-envoy-upstream-stream-duration-ms"] = true,
}

-- And what it believes of no client at the edge.
local CONTROL_AT_EDGE = {
    ["x-envoy-decorator-operation"] = true,
    ["x-envoy-downstream-service-cluster"] = true,
    ["x-envoy-downstream-service-node"] = true,
    ["x-envoy-original-host"] = true,
    ["x-envoy-original-path"] = true,
}

for name in pairs(CONTROL) do
    CONTROL_AT_EDGE[name] = true
end

local FIELDS = {
    server = "string?", upstream_server = "boolean?", request_id = "string?", request_id_in_response = "boolean?",
    suppress_envoy_headers = "boolean?", edge = "number?",
}

-- What APISIX removes or writes over, and where it keeps what was sent.
local REPLACED = {
    {name = "x-forwarded-host", kept = "original_x_forwarded_host", made = true},
    {name = "x-forwarded-port", kept = "original_x_forwarded_port", made = true},
    {name = "forwarded", kept = "original_forwarded"},
}


-- For all routes that say nothing.
local DEFAULT = {server = "envoy", any_id = true}


function _M.compile(conf)
    if not conf then
        return DEFAULT
    end
    local wrong = plugin.wrong(conf, FIELDS, "manager")
    if wrong then
        return nil, wrong
    end
    local id = conf.request_id
    if id and id ~= "add" and id ~= "keep" then
        return nil, "manager.request_id must be add or keep"
    end
    local upstream = conf.upstream_server
    return {
        server = conf.server or not upstream and "envoy" or nil, upstream_server = upstream,
        new_id = conf.edge and not id, any_id = id ~= "keep", tell_id = conf.request_id_in_response,
        suppress = conf.suppress_envoy_headers, edge = conf.edge,
    }
end


-- Gives a request its id.
local function identify(manager, ctx, nginx)
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


-- Removes what a client may not tell.
local function clean(manager, ctx, nginx)
    local control = manager.edge and CONTROL_AT_EDGE or CONTROL
    local found
    for name in pairs(nginx.all_request_headers(ctx)) do
        if control[name] then
            found = found or {}
            found[#found + 1] = name
        end
    end
    for _, name in ipairs(found or {}) do
        nginx.request_headers.set(ctx, name, nil)
    end
end


--- Makes the headers of a request what they are to Envoy's routes, when a route begins with it.
function _M.request(manager, ctx, nginx)
    clean(manager, ctx, nginx)
    identify(manager, ctx, nginx)
    if manager.edge ~= 0 then
        local sent = nginx.var(ctx, "original_x_forwarded_proto")
        if sent and sent ~= "" then
            nginx.request_headers.set(ctx, "x-forwarded-proto", sent)
        end
    end
end


--- Makes the other headers what an upstream of Envoy's would see.
function _M.forward(manager, ctx, nginx)
    for _, header in ipairs(REPLACED) do
        local sent = nginx.var(ctx, header.kept)
        if sent and sent ~= "" then
            nginx.request_headers.set(ctx, header.name, sent)
        elseif header.made then
            nginx.request_headers.set(ctx, header.name, nil)
        end
    end
    if manager.edge then
        local address = manager.edge > 0 and format.forwarded_address(manager.edge, ctx, nginx)
        nginx.request_headers.set(ctx, "x-envoy-external-address", address or nginx.var(ctx, "remote_addr"))
    end
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
        identify(manager, ctx, nginx)
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
