local case = require("balancer_case")
local fake = require("fake")
local least_request = require("apisix.balancer.amesh_least_request")
local round_robin = require("apisix.balancer.amesh_round_robin")
local slow_start = require("amesh.balancer.slow_start")
local equal, sent = fake.equal, case.sent

local names, time = 0, 1000


slow_start.now = function()
    return time
end


local function upstream(key)
    names = names + 1
    return {key = key, resource_key = "/upstreams/slow" .. names}
end


-- A new node beside two that are warm, at an age in seconds: its share of 1,100 requests.
local function share_of_new(balancer, key, age)
    local of = upstream(key)
    local _ = assert(balancer.new({a = 1, b = 1}, of, 0))
    time = time + 1000
    local made = assert(balancer.new({a = 1, b = 1, c = 1}, of, 0))
    time = time + age
    -- A weight is asked for when its turn is over.
    sent(made, 100)
    return (sent(made, 1100).c or 0) / 1100
end


local function close(actual, expected)
    assert(math.abs(actual - expected) < 0.01, actual .. " for " .. expected)
end


return {
    {"a new node gets its share little by little", function()
        for _, one in ipairs({{round_robin, "60000 10 1"}, {least_request, "2 1 60000 10 1"}}) do
            close(share_of_new(one[1], one[2], 0), 0.1 / 2.1)
            close(share_of_new(one[1], one[2], 15), 0.25 / 2.25)
            close(share_of_new(one[1], one[2], 30), 0.5 / 2.5)
            close(share_of_new(one[1], one[2], 61), 1 / 3)
        end
    end},
    {"with aggression faster at first, and never less than the least share", function()
        close(share_of_new(round_robin, "60000 10 2", 15), 0.5 / 2.5)
        close(share_of_new(round_robin, "60000 50 1", 15), 0.5 / 2.5)
    end},
    {"nodes that are new together share evenly, by their weights", function()
        local seen = sent(assert(round_robin.new({a = 1, b = 3}, upstream("60000 10 1"), 0)), 400)
        equal(seen.a, 100)
        equal(seen.b, 300)
    end},
    {"warm nodes of least requests are drawn", function()
        local of = upstream("1 1 60000 10 1")
        local _ = least_request.new({a = 1, b = 1}, of, 0)
        time = time + 61
        local made, same = assert(least_request.new({a = 1, b = 1}, of, 0)), 0
        local last
        for _ = 1, 1000 do
            local server = made.get({})
            same = same + (server == last and 1 or 0)
            last = server
        end
        assert(same > 400 and same < 600, same)
    end},
    {"a node that went away is new when it comes back", function()
        local of = upstream("60000 10 1")
        local first = round_robin.new({a = 1, b = 1}, of, 0)
        time = time + 100
        local second = round_robin.new({a = 1}, of, 0)
        local made = round_robin.new({a = 1, b = 1}, of, 0)
        sent(made, 50)
        close((sent(made, 1100).b or 0) / 1100, 0.1 / 1.1)
        assert(first and second)
    end},
    {"a further try goes to another node, and to all again when all were tried", function()
        case.comes_back(assert(round_robin.new({a = 1, b = 5, c = 2}, upstream("60000 10 1"), 0)), 3)
    end},
    {"settings that are not understood are refused", function()
        for _, key in ipairs({"x", "60000", "60000 10", "0 10 1", "60000 10 0", "60000 10 1 1"}) do
            local made, err = round_robin.new({a = 1}, {key = key})
            equal(made, nil, key)
            fake.contains(err, "amesh_round_robin")
            made, err = least_request.new({a = 1}, {key = "2 1 " .. key})
            equal(made, nil, key)
            fake.contains(err, "amesh_least_request")
        end
    end},
}
