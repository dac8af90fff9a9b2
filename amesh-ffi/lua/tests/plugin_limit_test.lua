local case = require("plugin_case")
local fake = require("fake")
local limit = require("amesh.plugin.limit")
local plugin = require("amesh.plugin")
local retry = require("amesh.plugin.retry")
local equal = fake.equal


--- Requests of routes of one plugin each; `send` begins one and gives what ends it, or nil where it is refused.
local function gateway(labels, nodes)
    local self = {}
    local upstream = {id = "u", labels = labels, nodes = {}}
    for index = 1, nodes or 1 do
        upstream.nodes[index] = {}
    end
    local nginx = case.nginx({upstream = upstream, headers = {}})
    local made = plugin.of(limit, nginx)
    self.nginx, self.upstream = nginx, upstream

    function self.send(conf, headers, ctx)
        conf, ctx = conf or {}, ctx or {up_checker = "the node's"}
        assert(made.check_schema(conf))
        nginx.request, nginx.response = {headers = headers or {}}, {headers = {}}
        function nginx.request_header(_, name) return nginx.request.headers[name:lower()] end
        made.before_proxy(conf, ctx)
        local refused = nginx.response.status ~= nil
        local function done()
            made.log(conf, ctx)
        end
        if refused then
            done()
            return nil, ctx
        end
        return done, ctx
    end

    --- How many of so many requests are sent, which do not end.
    function self.sent(count, conf)
        local sum = 0
        for _ = 1, count do
            sum = sum + (self.send(conf) and 1 or 0)
        end
        return sum
    end

    return self
end


local function most(text, nodes)
    return limit.most(limit.parse(text), nodes or 1)
end


-- Names in brackets are those of the observations of a real Envoy.
return {
    {"requests are in flight on connections, and wait for one [SEM-E01]", function()
        equal(most("connections=1,pending=1"), 2)
        equal(most("connections=2,pending=3"), 5)
        equal(most("connections=0,pending=1"), 2, "an endpoint has a connection")
        equal(most("connections=1,pending=0"), 0, "the first would have to wait for one")
        equal(most("connections=1024,pending=1024,requests=1024"), 2048)
    end},
    {"each endpoint has a connection [SEM-E01]", function()
        equal(most("connections=1,pending=1", 3), 4)
        equal(most("connections=2,pending=1", 3), 4)
        equal(most("connections=5,pending=1", 3), 6)
    end},
    {"a limit on requests refuses what a connection would take [SEM-E01]", function()
        equal(most("requests=1"), 1)
        equal(most("connections=2,pending=1,requests=2"), 3)
        equal(most("connections=2,pending=1,requests=1"), 1)
        equal(most("connections=3,pending=5,requests=2"), 2)
        equal(most("requests=0"), 0)
        equal(most("retries=3"), nil)
    end},
    {"a connection of HTTP/2 takes several [SEM-E01]", function()
        equal(most("connections=1,streams=2,pending=1"), 3)
        equal(most("connections=1,streams=2,pending=1,requests=1"), 1)
    end},
    {"Envoy's answer [SEM-E01]", function()
        local one = gateway({["amesh-limits"] = "connections=1,pending=0"})
        local done, ctx = one.send()
        equal(done, nil)
        local response = one.nginx.response
        equal(response.status, 503)
        equal(response.body, "upstream connect error or disconnect/reset before headers. reset reason: overflow")
        equal(response.headers["x-envoy-overloaded"], "true")
        equal(response.headers["content-type"], "text/plain")
        equal(ctx.amesh_attempts, 1)
        equal(ctx.up_checker, nil, "the node is not to blame")
    end},
    {"a gRPC client is told in headers [SEM-E01]", function()
        local one = gateway({["amesh-limits"] = "requests=0"})
        one.send({}, {["content-type"] = "application/grpc"})
        local response = one.nginx.response
        equal(response.status, 200)
        equal(response.headers["grpc-status"], 14)
        equal(response.headers["grpc-message"],
            "upstream connect error or disconnect/reset before headers. reset reason: overflow")
        equal(response.headers["x-envoy-overloaded"], "true")
    end},
    {"a request that ends makes room, once", function()
        local one = gateway({["amesh-limits"] = "connections=1,pending=1"})
        local first = one.send()
        assert(first and one.send())
        equal(one.send(), nil)
        first()
        first()
        equal(one.sent(3), 1)
    end},
    {"routes of a high priority have limits of their own [SEM-E01]", function()
        local one = gateway({["amesh-limits"] = "requests=1", ["amesh-limits-high"] = "requests=2"})
        equal(one.sent(3), 1)
        equal(one.sent(3, {high = true}), 2)
        one = gateway({["amesh-limits"] = "requests=1"})
        equal(one.sent(3, {high = true}), 3)
    end},
    {"an upstream without limits is not counted", function()
        local one = gateway(nil)
        equal(one.sent(3), 3)
        equal(one.nginx.counts():of("u"), 0)
        one = gateway({["amesh-limits"] = "retries=3"})
        equal(one.sent(3), 3)
        equal(one.nginx.counts():of("u"), 0)
    end},
    {"other labels are other limits, for what is in flight too", function()
        local one = gateway({["amesh-limits"] = "requests=1"})
        equal(one.sent(2), 1)
        one.upstream.labels = {["amesh-limits"] = "requests=3"}
        equal(one.sent(4), 2)
    end},
    {"the nodes of a name may be more", function()
        local one = gateway({["amesh-limits"] = "connections=1,pending=1"})
        equal(one.sent(5), 2)
        one.upstream.nodes[2] = {}
        equal(one.sent(5), 1)
    end},
    {"limits that are not understood are told, and not enforced", function()
        local one = gateway({["amesh-limits"] = "requests=1,magic=2"})
        local said
        one.nginx.log_error = function(...) said = table.concat({...}) end
        equal(one.sent(3), 3)
        fake.contains(said, "no such limit: magic=2")
    end},
    {"retries are counted while they last", function()
        local one = gateway({["amesh-limits"] = "retries=1"})
        local first, ctx = one.send()
        local second, other = one.send()
        equal(limit.may_retry(ctx, one.nginx), true)
        equal(limit.may_retry(other, one.nginx), false)
        equal(limit.may_retry(ctx, one.nginx), true, "its own try is over")
        first()
        equal(limit.may_retry(other, one.nginx), true)
        second()
        equal(one.nginx.counts():of("retries u"), 0)
        equal(limit.may_retry({}, one.nginx), true, "without limits")
    end},
    {"a part of the requests in flight may be retries", function()
        local one = gateway({["amesh-limits"] = "retries=0,retry-percent=50"})
        local list = {}
        for index = 1, 5 do
            local _, ctx = one.send()
            list[index] = ctx
        end
        local sum = 0
        for _, ctx in ipairs(list) do
            sum = sum + (limit.may_retry(ctx, one.nginx) and 1 or 0)
        end
        equal(sum, 2)
        one = gateway({["amesh-limits"] = "retries=3,retry-percent=20"})
        local _, ctx = one.send()
        equal(limit.may_retry(ctx, one.nginx), true, "the least")
    end},
    {"where no more retries may be the last answer is the client's", function()
        local one = gateway({["amesh-limits"] = "retries=0"})
        local _, ctx = one.send()
        local ended
        function one.nginx.in_balancer() return true end
        function one.nginx.last_failure() return "failed", 503 end
        function one.nginx.tries() return {"0.1"} end
        function one.nginx.fail(status) ended = status end
        local made = plugin.of(retry, one.nginx)
        made.before_proxy({retry = {times = 2, on = {"reset"}, statuses = {503}}}, ctx)
        equal(ended, 503)
    end},
    {"copies of requests are counted", function()
        local one = gateway({["amesh-limits"] = "requests=1"})
        local admitted, done = limit.admit_copy(one.upstream, one.nginx)
        equal(admitted, true)
        equal(limit.admit_copy(one.upstream, one.nginx), false)
        done()
        equal(limit.admit_copy(one.upstream, one.nginx), true)
        equal(limit.admit_copy(gateway(nil).upstream, one.nginx), true)
    end},
    {"what is not understood is refused", function()
        fake.contains(case.refused(limit, {low = true}), "amesh-limit.low is not known")
        fake.contains(case.refused(limit, {high = 1}), "amesh-limit.high must be a boolean")
    end},
}
