local case = require("balancer_case")
local fake = require("fake")
local least_request = require("apisix.balancer.amesh_least_request")
local equal, sent_and_ended = fake.equal, case.sent

local names = 0


--- A balancer of an upstream that no other test has.
local function of(up_nodes, key, name)
    names = names + 1
    return assert(least_request.new(up_nodes, {key = key or "2 1", resource_key = name or "/upstreams/" .. names}, 0))
end


--- Sends requests that stay in flight; gives how many each node got.
local function sent(made, times)
    local seen = {}
    for _ = 1, times do
        local server = made.get({})
        seen[server] = (seen[server] or 0) + 1
    end
    return seen
end


return {
    {"idle nodes are drawn", function()
        local seen = sent_and_ended(of({a = 1, b = 1, c = 1, d = 1}), 4000)
        for _, server in ipairs({"a", "b", "c", "d"}) do
            assert(seen[server] > 850 and seen[server] < 1150, server .. ": " .. seen[server])
        end
    end},
    {"the one with fewer requests of those that are drawn", function()
        local seen = sent(of({a = 1, b = 1}), 1000)
        assert(math.abs(seen.a - seen.b) < 20, seen.a)
        -- Two choices of a hundred nodes: far more even than one.
        local nodes = {}
        for number = 1, 100 do
            nodes["n" .. number] = 1
        end
        local most = 0
        for _, count in pairs(sent(of(nodes), 10000)) do
            most = math.max(most, count)
        end
        assert(most < 110, most)
        -- A busy node is still drawn twice in a row once in four times.
        local made = of({a = 1, b = 1})
        local busy = made.get({})
        local again = 0
        for _ = 1, 1000 do
            local ctx = {}
            ctx.balancer_server = made.get(ctx)
            again = again + (ctx.balancer_server == busy and 1 or 0)
            made.after_balance(ctx, false)
        end
        assert(again > 180 and again < 320, again)
    end},
    {"weights count, less for busy nodes", function()
        local made = of({a = 1, b = 3})
        local seen = sent_and_ended(made, 400)
        equal(seen.a, 100)
        equal(seen.b, 300)
        local busy = {}
        for _ = 1, 40 do
            local ctx = {}
            ctx.balancer_server = made.get(ctx)
            if ctx.balancer_server == "b" and #busy < 2 then
                busy[#busy + 1] = ctx
            else
                made.after_balance(ctx, false)
            end
        end
        seen = sent_and_ended(made, 400)
        -- A third of its weight, with two in flight and its own.
        assert(math.abs(seen.a - 200) < 3, seen.a)
        seen = sent_and_ended(of({a = 1, b = 3}, "2 0"), 400)
        equal(seen.b, 300)
    end},
    {"a request that ends is no longer counted, whatever became of the nodes meanwhile", function()
        local old = of({a = 1, b = 1}, "8 1", "/upstreams/same")
        local ctx = {}
        ctx.balancer_server = old.get(ctx)
        local busy = ctx.balancer_server
        local new = of({a = 1, b = 1, c = 1}, "20 1", "/upstreams/same")
        equal(sent_and_ended(new, 100)[busy], nil)
        old.after_balance(ctx, false)
        assert(sent_and_ended(new, 100)[busy] > 0)
    end},
    {"a further try goes to another node, and to all again when all were tried", function()
        case.comes_back(of({a = 1, b = 1, c = 1}), 3)
        case.comes_back(of({a = 1, b = 5, c = 2}), 3)
    end},
    {"settings that are not understood are refused", function()
        for _, key in ipairs({"", "2", "0 1", "2 x"}) do
            local made, err = least_request.new({a = 1}, {key = key})
            equal(made, nil, key)
            fake.contains(err, "amesh_least_request")
        end
    end},
}
