--- Envoy's LEAST_REQUEST as a balancer of APISIX.
--
-- Where all weights are equal, some nodes are drawn and the one with the fewest requests in flight is taken. Where they
-- differ, or nodes are so new that they get less, the nodes come in turn by their weights, each the later the more requests
-- it has in flight. What is in flight is what this worker has sent.

local servers_of = require("amesh.balancer.servers")
local slow_start = require("amesh.balancer.slow_start")
local turn = require("amesh.balancer.turn")

local math_random = math.random
local tonumber = tonumber

local _M = {}

-- Requests in flight by server. Requests end in the balancer that sent them; while that or a newer one is there, so are the
-- numbers.
local counted = servers_of.memory()


local function settings(text)
    local choices, bias, start = (text or ""):match("^(%d+) ([%d.]+)(.*)$")
    choices, bias = tonumber(choices), tonumber(bias)
    start = start and slow_start.settings(start)
    if not choices or choices < 1 or not bias or not start then
        return nil, "amesh_least_request needs a key such as '2 1' or '2 1 60000 10 1'"
    end
    return choices, bias, start
end


local function draw(servers, choices, active)
    local chosen = servers[math_random(#servers)]
    for _ = 2, choices do
        local other = servers[math_random(#servers)]
        if (active[other] or 0) < (active[chosen] or 0) then
            chosen = other
        end
    end
    return chosen
end


function _M.new(up_nodes, upstream, priority)
    local choices, bias, start = settings(upstream.key)
    if not choices then
        return nil, bias
    end
    local active = counted(upstream, priority)
    local servers, even = servers_of.listed(up_nodes)
    local share, warming = slow_start.of(start, servers, upstream, priority)
    local turns = (warming or not even) and turn.of(servers, function(server)
        local weight = servers_of.weight(up_nodes, server) / ((active[server] or 0) + 1) ^ bias
        return share and weight * share(server) or weight
    end)

    return servers_of.picker(upstream, function(ctx)
        local server
        if turns then
            server = servers_of.next_untried(turns, servers, ctx)
        else
            server = draw(servers_of.untried(servers, ctx), choices, active)
        end
        active[server] = (active[server] or 0) + 1
        return server
    end, function(server)
        local left = (active[server] or 0) - 1
        active[server] = left > 0 and left or nil
    end)
end


return _M
