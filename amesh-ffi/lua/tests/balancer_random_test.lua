local case = require("balancer_case")
local fake = require("fake")
local random = require("apisix.balancer.amesh_random")
local equal = fake.equal


local function counted(up_nodes, times)
    local made, seen = random.new(up_nodes, {}), {}
    for _ = 1, times do
        local server = made.get({})
        seen[server] = (seen[server] or 0) + 1
    end
    return seen
end


return {
    {"all nodes get the same", function()
        local seen = counted({a = 1, b = 1, c = 1, d = 1}, 4000)
        for _, server in ipairs({"a", "b", "c", "d"}) do
            assert(seen[server] > 850 and seen[server] < 1150, server .. ": " .. seen[server])
        end
    end},
    {"weights of localities count", function()
        local seen = counted({a = 8, b = 1, c = 1}, 4000)
        assert(seen.a > 3000 and seen.a < 3400, seen.a)
        assert(seen.b > 300 and seen.b < 500, seen.b)
        equal(seen.a + seen.b + seen.c, 4000)
    end},
    {"a further try goes to another node, and to all again when all were tried", function()
        case.comes_back(random.new({a = 1, b = 3, c = 1}, {}), 3)
    end},
}
