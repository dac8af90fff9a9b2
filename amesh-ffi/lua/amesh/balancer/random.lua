--- Envoy's RANDOM as a balancer of APISIX: a node drawn for each request.
--
-- Weights are those of localities; without them all are equal. A further try draws among the nodes that were not tried.

local servers_of = require("amesh.balancer.servers")

local ipairs = ipairs
local math_random = math.random

local _M = {}


-- For each server the sum of the weights up to it; nil where they do not matter.
local function summed(servers, up_nodes)
    local sums, total = {}, 0
    for index, server in ipairs(servers) do
        total = total + up_nodes[server]
        sums[index] = total
    end
    return total > 0 and sums or nil
end


local function draw(servers, sums)
    if not sums then
        return servers[math_random(#servers)]
    end
    local wanted = math_random() * sums[#sums]
    local first, last = 1, #sums
    while first < last do
        local middle = (first + last - (first + last) % 2) / 2
        if sums[middle] > wanted then
            last = middle
        else
            first = middle + 1
        end
    end
    return servers[first]
end


function _M.new(up_nodes, upstream)
    local servers, even = servers_of.listed(up_nodes)
    local sums = not even and summed(servers, up_nodes) or nil

    return servers_of.picker(upstream, function(ctx)
        if not ctx.amesh_tried then
            return draw(servers, sums)
        end
        local left = servers_of.untried(servers, ctx)
        return draw(left, sums and summed(left, up_nodes))
    end)
end


return _M
