--- Envoy's ROUND_ROBIN with slow start as a balancer of APISIX: servers come in turn by their weights, new ones more seldom.

local servers_of = require("amesh.balancer.servers")
local slow_start = require("amesh.balancer.slow_start")
local turn = require("amesh.balancer.turn")

local _M = {}


function _M.new(up_nodes, upstream, priority)
    local settings = slow_start.settings(upstream.key or "")
    if not settings then
        return nil, "amesh_round_robin needs a key such as '60000 10 1'"
    end
    local servers = servers_of.listed(up_nodes)
    local share = slow_start.of(settings, servers, upstream, priority)
    local turns = turn.of(servers, function(server)
        local weight = servers_of.weight(up_nodes, server)
        return share and weight * share(server) or weight
    end)

    return servers_of.picker(upstream, function(ctx)
        return servers_of.next_untried(turns, servers, ctx)
    end)
end


return _M
