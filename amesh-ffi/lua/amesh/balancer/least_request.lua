--- Envoy's LEAST_REQUEST as a balancer of APISIX.
--
-- Where all weights are equal, some nodes are drawn and the one with the fewest requests in flight is taken. Where they
-- differ the nodes come in turn by their weights, each the later the more requests it has in flight. What is in flight is
-- what this worker has sent.

local servers_of = require("amesh.balancer.servers")
local turn = require("amesh.balancer.turn")

local math_random = math.random
local setmetatable = setmetatable
local tonumber = tonumber

local _M = {}

-- Requests in flight by server, for each upstream and priority. APISIX makes a new balancer with every change of nodes or of
-- their health, and requests end in the one that sent them; while either is there, so are the numbers.
local counts = setmetatable({}, {__mode = "v"})


local function counted(upstream, priority)
    local key = upstream.resource_key and upstream.resource_key .. "#" .. (priority or 0)
    local found = key and counts[key]
    if not found then
        found = {}
        if key then
            counts[key] = found
        end
    end
    return found
end


local function settings(text)
    local choices, bias = (text or ""):match("^(%d+) ([%d.]+)$")
    choices, bias = tonumber(choices), tonumber(bias)
    if not choices or choices < 1 or not bias then
        return nil, "amesh_least_request needs a key such as '2 1'"
    end
    return choices, bias
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
    local choices, bias = settings(upstream.key)
    if not choices then
        return nil, bias
    end
    local active = counted(upstream, priority)
    local servers, even = servers_of.listed(up_nodes)
    local turns = not even and turn.of(servers, function(server)
        local weight = up_nodes[server]
        return (weight > 0 and weight or 1) / ((active[server] or 0) + 1) ^ bias
    end)

    return servers_of.picker(upstream, function(ctx)
        local left, err = servers_of.untried(servers, ctx)
        if not left then
            return nil, err
        end
        local server
        if turns then
            local tried = ctx.amesh_tried
            repeat
                server = turns:next()
            until not tried or not tried[server]
        else
            server = draw(left, choices, active)
        end
        active[server] = (active[server] or 0) + 1
        return server
    end, function(server)
        local left = (active[server] or 0) - 1
        active[server] = left > 0 and left or nil
    end)
end


return _M
