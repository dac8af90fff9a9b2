--- Hash policies, rings and tables choose what a real Envoy chose (tests/real/test_hash.py).

local case = require("plugin_case")
local fake = require("fake")
local hash = require("amesh.balancer.hash")
local hash_plugin = require("amesh.plugin.hash")
local json_read = require("json_read")
local plugin = require("amesh.plugin")
local tohex = require("bit").tohex
local equal = fake.equal

local BALANCERS = {
    amesh_ring_hash = require("apisix.balancer.amesh_ring_hash"),
    amesh_maglev = require("apisix.balancer.amesh_maglev"),
}


local function vectors()
    local file = assert(io.open("tests/hash_vectors.json"))
    local text = file:read("*a")
    file:close()
    return json_read(text)
end


local function address(node)
    return node.host .. ":" .. node.port
end


--- The balancer of nodes, as APISIX makes it.
local function picker(kind, key, nodes, priority)
    local up_nodes = {}
    for _, node in ipairs(nodes) do
        if (node.priority or 0) == (priority or 0) then
            up_nodes[address(node)] = node.weight
        end
    end
    return assert(BALANCERS[kind].new(up_nodes, {key = key, nodes = nodes}, priority))
end


--- APISIX's context of a request once the plugin has seen it, and what stands in for nginx.
local function begun(conf, request, kind)
    local headers = {}
    for _, line in ipairs(request.headers or {}) do
        local name = line[1]:lower()
        headers[name] = headers[name] or {}
        table.insert(headers[name], line[2])
    end
    local ctx = {}
    local nginx = case.nginx({
        headers = headers, target = request.target, client = request.client, server = request.server, balancer = kind,
        var = {remote_addr = "127.0.0.1", request_method = "GET", http_host = headers.host and headers.host[1]},
    })
    local made = plugin.of(hash_plugin, nginx)
    assert(made.check_schema(conf))
    made.access(conf, ctx)
    return ctx, nginx, made
end


local function nodes(count)
    local list = {}
    for index = 1, count do
        list[index] = {host = "10.0.0." .. index, port = 80, weight = 1, priority = 0}
    end
    return list
end


local tests = {
    {"the vectors are many", function()
        local requests, cookies = 0, 0
        for _, one in ipairs(vectors()) do
            requests = requests + #one.requests
            for _, request in ipairs(one.requests) do
                cookies = cookies + (request.cookie and 1 or 0)
            end
        end
        assert(requests > 1000 and cookies > 20, requests)
    end},
    {"xxHash64 of known texts", function()
        equal(tohex(hash.xx(""), 16), "ef46db3751d8e999")
        equal(tohex(hash.xx("abc"), 16), "44bc2cf5ad770999")
        local high, low = hash.halves(0x123456789ABCDEF0ULL)
        equal(high, 0x12345678)
        equal(low, 0x9ABCDEF0)
    end},
    {"without a hash endpoints are drawn [SEM-K02]", function()
        for kind, key in pairs({amesh_ring_hash = "1024 8388608 xx_hash", amesh_maglev = "65537"}) do
            local made, seen = picker(kind, key, nodes(3)), {}
            for _ = 1, 1000 do
                local server = made.get({})
                seen[server] = (seen[server] or 0) + 1
            end
            for _, node in ipairs(nodes(3)) do
                assert(seen[address(node)] > 200, address(node))
            end
        end
    end},
    {"a further try stays, unless other endpoints are wanted", function()
        for kind, key in pairs({amesh_ring_hash = "1024 8388608 xx_hash", amesh_maglev = "65537"}) do
            local moved = 0
            for number = 1, 100 do
                local made = picker(kind, key, nodes(5))
                local conf = {policies = {{header = {name = "x"}}}}
                local ctx = begun(conf, {headers = {{"x", "v" .. number}}})
                ctx.balancer_server = made.get(ctx)
                local first = ctx.balancer_server
                made.after_balance(ctx, true)
                equal(made.get(ctx), first)

                conf = {policies = conf.policies, other_hosts = 5}
                ctx = begun(conf, {headers = {{"x", "v" .. number}}})
                ctx.balancer_server = made.get(ctx)
                equal(ctx.balancer_server, first)
                made.after_balance(ctx, true)
                moved = moved + (made.get(ctx) ~= first and 1 or 0)
                equal(made.get(ctx), made.get(ctx), "as often as it is asked")
            end
            assert(moved > 95, kind .. ": " .. moved)
        end
    end},
    {"each priority has a ring of its own", function()
        local list = nodes(4)
        list[3].priority, list[4].priority = -1, -1
        local made = picker("amesh_ring_hash", "1024 8388608 xx_hash", list, -1)
        for _ = 1, 50 do
            local server = made.get({})
            assert(server == address(list[3]) or server == address(list[4]), server)
        end
    end},
    {"only the nodes that APISIX gives are chosen", function()
        local list = nodes(3)
        local made = BALANCERS.amesh_maglev.new({[address(list[2])] = 1}, {key = "65537", nodes = list})
        for _ = 1, 20 do
            equal(made.get({}), address(list[2]))
        end
    end},
    {"settings that are not understood are refused", function()
        for kind, balancer in pairs(BALANCERS) do
            for _, key in ipairs({"", "1 2", "1 2 md5", "x"}) do
                local made, err = balancer.new({}, {key = key, nodes = {}})
                assert(made == nil, key)
                fake.contains(err, kind)
            end
        end
    end},
}

-- The address at which nobody listens.
local DEAD = "127.7.0.11:28917"


--- The number of the node that answers, 0 for none, after a further try where there is one.
local function answering(made, ctx, one)
    for _ = 1, one.retry and 2 or 1 do
        local server = made.get(ctx)
        if server ~= DEAD then
            for number, node in ipairs(one.nodes) do
                if address(node) == server then
                    return number
                end
            end
        end
        ctx.balancer_server = server
        made.after_balance(ctx, true)
    end
    return 0
end


for _, one in ipairs(vectors()) do
    table.insert(tests, {("%s, %s [SEM-K02, SEM-K03]"):format(one.name, one.type), function()
        for _, node in ipairs(one.nodes) do
            node.metadata = node.hash_key and {hash_key = node.hash_key}
        end
        local made = picker(one.type, one.key, one.nodes)
        for number, request in ipairs(one.requests) do
            local conf = {policies = one.policies, other_hosts = one.other_hosts}
            local ctx, nginx, of = begun(conf, request, one.type)
            local chosen = answering(made, ctx, one)
            of.header_filter(conf, ctx)
            local cookies = nginx.response.headers["set-cookie"]
            equal(cookies and cookies[1], request.cookie, "request " .. number)
            equal(chosen, request.node, "request " .. number)
        end
    end})
end

return tests
