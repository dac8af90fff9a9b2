local balancer = require("amesh.balancer.original_dst")
local fake = require("fake")
local original_dst = require("apisix.balancer.amesh_original_dst")
local equal = fake.equal


local function picked(address, key)
    local made = assert(original_dst.new({["192.0.2.1:1"] = 1, ["192.0.2.1:2"] = 1}, {key = key}, 0))
    return made.get({var = {connection_original_dst = address, server_addr = "10.0.0.1", server_port = "15001"}})
end


return {
    {"a request goes to where its connection was meant for", function()
        equal(picked("10.9.8.7:80"), "10.9.8.7:80")
        equal(picked("10.9.8.7:80", "8080"), "10.9.8.7:8080")
        equal(picked("10.0.0.1:80"), "10.0.0.1:80")
    end},
    {"nowhere where there is no such address, and not back to APISIX", function()
        local ended
        balancer.exit = function(status) ended = status end
        for _, address in ipairs({"", "10.0.0.1:15001", false}) do
            ended = nil
            equal(picked(address or nil), nil)
            equal(ended, 503)
        end
    end},
    {"a further try goes there again", function()
        local made = original_dst.new({}, {}, 0)
        local ctx = {var = {connection_original_dst = "10.9.8.7:80", server_addr = "10.0.0.1", server_port = "1"}}
        ctx.balancer_server = made.get(ctx)
        made.after_balance(ctx, true)
        equal(made.get(ctx), "10.9.8.7:80")
    end},
    {"settings that are not understood are refused", function()
        local made, err = original_dst.new({}, {key = "x"})
        equal(made, nil)
        fake.contains(err, "amesh_original_dst")
    end},
}
