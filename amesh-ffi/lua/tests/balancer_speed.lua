--- How fast the balancers choose, and how long it takes to make them: `luajit tests/balancer_speed.lua` in `amesh-ffi/lua`.
--
-- `tests/real/balancer_speed.py` has them in a real APISIX.

package.path = "./?.lua;" .. package.path

local KINDS = {
    {"amesh_ring_hash", "1024 8388608 xx_hash"},
    {"amesh_ring_hash", "65536 8388608 xx_hash"},
    {"amesh_maglev", "65537"},
    {"amesh_random", ""},
    {"amesh_least_request", "2 1"},
    {"amesh_least_request", "2 1", weights = true},
}
local PICKS = 1e6


local function upstream(count, kind)
    local nodes, up_nodes = {}, {}
    for number = 1, count do
        local host = ("10.%d.%d.%d"):format(math.floor(number / 65536), math.floor(number / 256) % 256, number % 256)
        local weight = kind.weights and number % 3 + 1 or 1
        nodes[number] = {host = host, port = 8080, weight = weight, priority = 0}
        up_nodes[host .. ":8080"] = weight
    end
    return {key = kind[2], nodes = nodes, resource_key = kind[1]}, up_nodes
end


-- Processor time of a call, in seconds: the first, which runs uncompiled, and the best of some more.
local function timed(run)
    local first, best
    for _ = 1, 6 do
        collectgarbage()
        local begun = os.clock()
        run()
        local took = os.clock() - begun
        first = first or took
        best = math.min(best or took, took)
    end
    return first, best
end


for _, kind in ipairs(KINDS) do
    local balancer = require("apisix.balancer." .. kind[1])
    for _, count in ipairs({10, 100, 1000}) do
        local conf, up_nodes = upstream(count, kind)
        local made
        local first, best = timed(function() made = balancer.new(up_nodes, conf, 0) end)
        local ctx, seen = {}, {}
        -- Each request with a hash of its own, as if the policies had given it.
        local _, picking = timed(function()
            for _ = 1, PICKS do
                ctx.amesh_hash_high, ctx.amesh_hash_low = math.random(0, 2 ^ 32 - 1), math.random(0, 2 ^ 32 - 1)
                local server = made.get(ctx)
                seen[server] = true
                ctx.balancer_server = server
                made.after_balance(ctx, false)
            end
        end)
        assert(next(seen))
        print(("%-20s %-22s %5d nodes: made in %6.2f ms (first %6.2f), %5.1f million picks a second"):format(
            kind[1], kind.weights and "weights" or kind[2], count, best * 1e3, first * 1e3, PICKS / picking / 1e6))
    end
end
