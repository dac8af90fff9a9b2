--- What the balancers of this package share: the servers to choose from, and those that a request was sent to already.

local ipairs = ipairs
local pairs = pairs
local setmetatable = setmetatable
local table_sort = table.sort

local _M = {}


--- The servers in an order that does not depend on Lua's, and whether all have the same weight.
function _M.listed(up_nodes)
    local servers, even = {}, true
    for server in pairs(up_nodes) do
        servers[#servers + 1] = server
    end
    table_sort(servers)
    for _, server in ipairs(servers) do
        even = even and up_nodes[server] == up_nodes[servers[1]]
    end
    return servers, even
end


--- A server's weight; one for those that have none.
function _M.weight(up_nodes, server)
    local weight = up_nodes[server]
    return weight > 0 and weight or 1
end


--- A function that gives a table for each upstream and priority, the same one as long as somebody holds it. APISIX makes a
-- new balancer with every change of nodes or of their health, and what was noted about them must not be lost.
function _M.memory()
    local kept = setmetatable({}, {__mode = "v"})
    return function(upstream, priority)
        local key = upstream.resource_key and upstream.resource_key .. "#" .. (priority or 0)
        local found = key and kept[key]
        if not found then
            found = {}
            if key then
                kept[key] = found
            end
        end
        return found
    end
end


--- Those of the servers that the request was not sent to. When it was sent to all of them, all are asked again, as by
-- Envoy.
function _M.untried(servers, ctx)
    local tried = ctx.amesh_tried
    if not tried then
        return servers
    end
    local left = {}
    for _, server in ipairs(servers) do
        if not tried[server] then
            left[#left + 1] = server
        end
    end
    if #left == 0 then
        ctx.amesh_tried = nil
        return servers
    end
    return left
end


--- Whose turn it is of the servers that the request was not sent to.
function _M.next_untried(turns, servers, ctx)
    _M.untried(servers, ctx)
    -- Nil also when it was sent to all of them.
    local tried = ctx.amesh_tried
    local server
    repeat
        server = turns:next()
    until not tried or not tried[server]
    return server
end


-- APISIX calls it when a request is done with a server, and tells whether another try follows.
local function after_balance(ctx, before_retry)
    local server = ctx.balancer_server
    ctx.balancer_server = nil
    if before_retry and server then
        ctx.amesh_tried = ctx.amesh_tried or {}
        ctx.amesh_tried[server] = true
    end
    return server
end


local function before_retry_next_priority(ctx)
    ctx.amesh_tried = nil
end


--- The picker that APISIX gets. `get` chooses for a request; `done`, where it is there, is told the server that a request is
-- done with.
function _M.picker(upstream, get, done)
    return {
        upstream = upstream,
        get = get,
        after_balance = done and function(ctx, before_retry)
            local server = after_balance(ctx, before_retry)
            if server then
                done(server)
            end
        end or after_balance,
        before_retry_next_priority = before_retry_next_priority,
    }
end


return _M
