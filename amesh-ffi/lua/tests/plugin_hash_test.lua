local case = require("plugin_case")
local fake = require("fake")
local hash = require("amesh.plugin.hash")
local plugin = require("amesh.plugin")
local equal = fake.equal

local CLIENT = {client = "127.0.0.1:5000", server = "127.0.0.1:80"}


--- What a request gets whose upstream has this balancer and may not answer.
local function cookies(conf, balancer, failed)
    local nginx = case.nginx({client = CLIENT.client, server = CLIENT.server, balancer = balancer, failed = failed})
    local made = plugin.of(hash, nginx)
    assert(made.check_schema(conf))
    local ctx = {}
    made.access(conf, ctx)
    made.before_proxy(conf, ctx)
    made.before_proxy(conf, ctx)
    made.header_filter(conf, ctx)
    return nginx.response.headers["set-cookie"]
end


-- What a hash is, and which endpoint it leads to, is in balancer_hash_test.
return {
    {"a cookie is set where the balancer wants a hash, even for a single node [SEM-K01, SEM-K03]", function()
        local conf = {policies = {{cookie = {name = "sess", ttl = 60, path = "/c"}}}}
        for _, kind in ipairs({"amesh_ring_hash", "amesh_maglev"}) do
            local set = cookies(conf, kind)
            equal(#set, 1)
            fake.contains(set[1], '"; Max-Age=60; Path=/c; HttpOnly')
        end
        equal(cookies(conf, "roundrobin"), nil)
        equal(cookies(conf, "amesh_maglev", true), nil, "no answer of an upstream")
    end},
    {"several cookies", function()
        local conf = {policies = {{cookie = {name = "a", ttl = 0}}, {cookie = {name = "b", ttl = 1}}}}
        local set = cookies(conf, "amesh_maglev")
        fake.contains(set[1], 'a="')
        fake.contains(set[2], 'b="')
    end},
    {"what is not understood is refused", function()
        fake.contains(case.refused(hash, {policies = {{}}}), "must have one of")
        fake.contains(case.refused(hash, {policies = {{query = "a", source_ip = true}}}), "one method each")
        fake.contains(case.refused(hash, {policies = {{filter_state = {key = "a"}}}}), "policies.filter_state is not known")
        fake.contains(case.refused(hash, {policies = {{cookie = {ttl = 1}}}}), "cookie.name is missing")
        fake.contains(case.refused(hash, {policies = {{header = {name = 1}}}}), "header.name must be a string")
        fake.contains(case.refused(hash, {policies = {{cookie = {name = "a", attributes = {{value = "b"}}}}}}),
            "attributes.name is missing")
        fake.contains(case.refused(hash, {}), "policies is missing")
    end},
}
