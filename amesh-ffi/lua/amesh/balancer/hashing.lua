--- Balancers of APISIX that choose by the hash of a request: what they share, around a ring or a table.
--
-- APISIX makes one of them for each set of nodes, in each worker, when the first request wants one; so does this the ring.
-- The hash is that of the route's policies (`amesh.plugin.hash`), drawn at random where they have none.

local key = require("amesh.plugin.hash").key
local servers = require("amesh.balancer.servers")

local ipairs = ipairs
local math_random = math.random

local MOST = 2 ^ 32 - 1

local _M = {}


-- The nodes that APISIX wants to be balanced, in the order of the upstream: Envoy's own, on which a ring depends.
local function chosen(up_nodes, upstream, priority)
    local nodes, seen = {}, {}
    for _, node in ipairs(upstream.nodes) do
        local address = node.host .. ":" .. node.port
        if up_nodes[address] and not seen[address] and (not priority or (node.priority or 0) == priority) then
            seen[address] = true
            nodes[#nodes + 1] = {
                address = address,
                key = node.metadata and node.metadata.hash_key or address,
                weight = node.weight > 0 and node.weight or 1,
            }
        end
    end
    return nodes
end


--- The balancer around an algorithm, which has `settings` and `build`.
function _M.of(algorithm)
    local balancer = {}

    function balancer.new(up_nodes, upstream, priority)
        local settings, err = algorithm.settings(upstream.key)
        if not settings then
            return nil, err
        end
        local nodes = chosen(up_nodes, upstream, priority)
        local built = algorithm.build(nodes, settings)

        -- A hash stays within its priority, so APISIX never asks for the next one.
        return servers.picker(upstream, function(ctx)
            local high, low = key(ctx)
            if not high then
                high, low = math_random(0, MOST), math_random(0, MOST)
            end
            local address = nodes[built:choose(high, low, 0)].address
            local tried = ctx.amesh_tried
            if tried then
                -- Envoy stays with an endpoint that has failed unless the retry policy tells it to look at others, and
                -- then takes the last one that it looked at.
                local attempt, others = 0, ctx.amesh_other_hosts or 0
                while tried[address] and attempt < others do
                    attempt = attempt + 1
                    address = nodes[built:choose(high, low, attempt)].address
                end
            end
            return address
        end)
    end

    return balancer
end


return _M
