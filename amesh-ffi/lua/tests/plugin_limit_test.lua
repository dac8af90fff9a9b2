local case = require("plugin_case")
local fake = require("fake")
local lines = require("amesh.lines")
local limit = require("amesh.plugin.limit")
local plugin = require("amesh.plugin")
local retry = require("amesh.plugin.retry")
local equal = fake.equal


--- Requests to an upstream, each a coroutine, and a clock.
local function gateway(labels, nodes)
    local self = {now = 0, sleeping = {}}
    local upstream = {id = "u", labels = labels, nodes = {}}
    for index = 1, nodes or 1 do
        upstream.nodes[index] = {}
    end
    local nginx = case.nginx({upstream = upstream, headers = {}})
    local made = plugin.of(limit, nginx)
    self.nginx, self.upstream = nginx, upstream

    local waiting = lines.new(function()
        local semaphore = {posts = 0}
        function semaphore.wait(_, seconds)
            self.sleeping[#self.sleeping + 1] = {
                semaphore = semaphore, until_ = self.now + seconds, thread = coroutine.running(),
            }
            coroutine.yield()
        end
        function semaphore.post(_, count) semaphore.posts = semaphore.posts + count end
        return semaphore
    end)
    function nginx.lines() return waiting end
    function nginx.now() return self.now end
    function nginx.conf_of(_, name) return name == "amesh-retry" and self.retry or nil end

    local function resume(thread)
        local fine, err = coroutine.resume(thread)
        assert(fine, err)
    end

    -- Whoever was posted to goes on.
    local function wake()
        for index, one in ipairs(self.sleeping) do
            if one.semaphore.posts > 0 or one.until_ <= self.now then
                one.semaphore.posts = math.max(0, one.semaphore.posts - 1)
                table.remove(self.sleeping, index)
                resume(one.thread)
                return wake()
            end
        end
    end

    --- Lets time pass, a millisecond at a time.
    function self.pass(seconds)
        local till = self.now + seconds
        repeat
            wake()
            self.now = self.now + 0.001
        until self.now > till
        wake()
    end

    -- Each request has an answer of its own.
    local answers = setmetatable({}, {__mode = "k"})
    local function answer() return answers[coroutine.running()] end
    function nginx.request_header(_, name) return answer().request[name:lower()] end
    function nginx.set_response_header(name, value) answer().headers[name] = value end
    function nginx.answer(status, body, kind)
        local response = answer()
        response.status, response.body, response.headers["content-type"] = status, body, kind
    end

    --- Begins a request: `sent` once it is with the upstream, `response` where the proxy answers.
    function self.send(conf, headers)
        local one = {ctx = {up_checker = "the node's"}, conf = conf or {}}
        assert(made.check_schema(one.conf))
        local thread = coroutine.create(function()
            made.before_proxy(one.conf, one.ctx)
            if answer().status then
                one.response = answer()
                made.log(one.conf, one.ctx)
            else
                one.sent = true
            end
        end)
        answers[thread] = {headers = {}, request = headers or {}}
        resume(thread)
        function one.ends()
            made.log(one.conf, one.ctx)
            wake()
        end
        return one
    end

    --- So many requests; how many are sent, and how many wait.
    function self.burst(count, conf)
        local sent, wait = 0, 0
        for _ = 1, count do
            local one = self.send(conf)
            sent = sent + (one.sent and 1 or 0)
            wait = wait + (not one.sent and not one.response and 1 or 0)
        end
        return sent .. " " .. wait
    end

    return self
end


local function most(text, nodes)
    return limit.most(limit.parse(text), nodes or 1)
end


-- Names in brackets are those of the observations of a real Envoy.
return {
    {"requests are on connections, and wait for one [SEM-E01]", function()
        equal(gateway({["amesh-limits"] = "connections=1,pending=1"}).burst(4), "1 1")
        equal(gateway({["amesh-limits"] = "connections=2,pending=3"}).burst(7), "2 3")
        equal(gateway({["amesh-limits"] = "connections=0,pending=1"}).burst(4), "1 1", "an endpoint has a connection")
        equal(gateway({["amesh-limits"] = "connections=1,pending=0"}).burst(2), "0 0", "the first would have to wait")
        equal(gateway({["amesh-limits"] = "connections=2"}).burst(50), "2 48", "any number may wait")
        equal(gateway({["amesh-limits"] = "connections=1024,pending=1024,requests=1024"}).burst(2100), "1024 1024")
    end},
    {"each endpoint has a connection [SEM-E01]", function()
        equal(most("connections=1,pending=1", 3), 3)
        equal(most("connections=2,pending=1", 3), 3)
        equal(most("connections=5,pending=1", 3), 5)
    end},
    {"a limit on requests refuses what a connection would take [SEM-E01]", function()
        equal(gateway({["amesh-limits"] = "requests=1"}).burst(3), "1 0")
        equal(gateway({["amesh-limits"] = "connections=2,pending=1,requests=2"}).burst(5), "2 1")
        equal(gateway({["amesh-limits"] = "connections=2,pending=1,requests=1"}).burst(4), "1 0")
        equal(gateway({["amesh-limits"] = "connections=3,pending=5,requests=2"}).burst(6), "2 0")
        equal(most("requests=0"), 0)
        equal(most("retries=3"), nil)
    end},
    {"a connection of HTTP/2 takes several [SEM-E01]", function()
        equal(gateway({["amesh-limits"] = "connections=1,streams=2,pending=1"}).burst(5), "2 1")
        equal(gateway({["amesh-limits"] = "connections=1,streams=2,pending=1,requests=1"}).burst(4), "1 0")
    end},
    {"those that wait go on in turn, at once [SEM-E01]", function()
        local one = gateway({["amesh-limits"] = "connections=1,pending=3"})
        local list = {}
        for index = 1, 4 do
            list[index] = one.send()
        end
        one.pass(0.1)
        for index = 1, 3 do
            assert(not list[index + 1].sent, "its turn has not come")
            list[index].ends()
            assert(list[index + 1].sent, "its turn has come")
        end
        list[4].ends()
        equal(one.nginx.counts():of("u"), 0)
        equal(one.nginx.counts():of("waiting u"), 0)
        equal(one.burst(5), "1 3")
    end},
    {"nobody overtakes", function()
        local one = gateway({["amesh-limits"] = "connections=1,pending=2"})
        local first, second = one.send(), one.send()
        -- Another worker's request has ended.
        one.nginx.counts():give("u")
        local third = one.send()
        assert(not third.sent)
        one.pass(0.02)
        assert(second.sent and not third.sent)
        first.ends()
    end},
    {"what is free in another worker is seen in a moment", function()
        local one = gateway({["amesh-limits"] = "connections=1"})
        one.nginx.counts():take("u", 1)
        local waits = one.send()
        one.pass(0.1)
        assert(not waits.sent)
        one.nginx.counts():give("u")
        one.pass(0.012)
        assert(waits.sent)
    end},
    {"waiting is part of the time that a request may take [SEM-U01]", function()
        local one = gateway({["amesh-limits"] = "connections=1,pending=5"})
        one.retry = {timeout = 0.5}
        local first, late = one.send(), one.send()
        one.pass(0.3)
        local later = one.send()
        one.pass(0.25)
        equal(late.response.status, 504)
        equal(late.response.body, "upstream request timeout")
        equal(late.ctx.up_checker, nil)
        assert(not later.response)
        first.ends()
        assert(later.sent)
        assert(math.abs(later.ctx.amesh_waited - 0.25) < 0.01, later.ctx.amesh_waited)
        later.ends()
        equal(one.burst(7), "1 5")
    end},
    {"a client that leaves gives up its place", function()
        local one = gateway({["amesh-limits"] = "connections=1,pending=3"})
        local first, second, third, fourth = one.send(), one.send(), one.send(), one.send()
        third.ends()
        second.ends()
        equal(one.nginx.counts():of("waiting u"), 1)
        first.ends()
        assert(fourth.sent)
    end},
    {"Envoy's answer [SEM-E01]", function()
        local one = gateway({["amesh-limits"] = "connections=1,pending=0"}).send()
        local response = one.response
        equal(response.status, 503)
        equal(response.body, "upstream connect error or disconnect/reset before headers. reset reason: overflow")
        equal(response.headers["x-envoy-overloaded"], "true")
        equal(response.headers["content-type"], "text/plain")
        equal(one.ctx.amesh_attempts, 1)
        equal(one.ctx.up_checker, nil, "the node is not to blame")
    end},
    {"a gRPC client is told in headers [SEM-E01]", function()
        local one = gateway({["amesh-limits"] = "requests=0"})
        local response = one.send({}, {["content-type"] = "application/grpc"}).response
        equal(response.status, 200)
        equal(response.headers["grpc-status"], 14)
        equal(response.headers["grpc-message"],
            "upstream connect error or disconnect/reset before headers. reset reason: overflow")
        equal(response.headers["x-envoy-overloaded"], "true")
    end},
    {"a request that ends makes room, once", function()
        local one = gateway({["amesh-limits"] = "requests=2"})
        local first = one.send()
        assert(first.sent and one.send().sent)
        assert(one.send().response)
        first.ends()
        first.ends()
        equal(one.burst(3), "1 0")
    end},
    {"routes of a high priority have limits of their own [SEM-E01]", function()
        local one = gateway({["amesh-limits"] = "requests=1", ["amesh-limits-high"] = "requests=2"})
        equal(one.burst(3), "1 0")
        equal(one.burst(3, {high = true}), "2 0")
        one = gateway({["amesh-limits"] = "requests=1"})
        equal(one.burst(3, {high = true}), "3 0")
    end},
    {"an upstream without limits is not counted", function()
        local one = gateway(nil)
        equal(one.burst(3), "3 0")
        equal(one.nginx.counts():of("u"), 0)
        one = gateway({["amesh-limits"] = "retries=3"})
        equal(one.burst(3), "3 0")
        equal(one.nginx.counts():of("u"), 0)
    end},
    {"other labels are other limits, for what is in flight too", function()
        local one = gateway({["amesh-limits"] = "requests=1"})
        equal(one.burst(2), "1 0")
        one.upstream.labels = {["amesh-limits"] = "requests=3"}
        equal(one.burst(4), "2 0")
    end},
    {"the nodes of a name may be more", function()
        local one = gateway({["amesh-limits"] = "connections=1,pending=1"})
        equal(one.send().sent, true)
        one.upstream.nodes[2] = {}
        equal(one.burst(5), "1 1")
    end},
    {"nodes that stand for nothing are no endpoints", function()
        local one = gateway({["amesh-limits"] = "connections=1,pending=1"}, 2)
        one.upstream.type = "amesh_original_dst"
        equal(one.burst(5), "1 1")
    end},
    {"limits that are not understood are told, and not enforced", function()
        local one = gateway({["amesh-limits"] = "requests=1,magic=2"})
        local said
        one.nginx.log_error = function(...) said = table.concat({...}) end
        equal(one.burst(3), "3 0")
        fake.contains(said, "no such limit: magic=2")
    end},
    {"retries are counted while they last", function()
        local one = gateway({["amesh-limits"] = "retries=1"})
        local first, second = one.send(), one.send()
        local ctx, other = first.ctx, second.ctx
        equal(limit.may_retry(ctx, one.nginx), true)
        equal(limit.may_retry(other, one.nginx), false)
        equal(limit.may_retry(ctx, one.nginx), true, "its own try is over")
        first.ends()
        equal(limit.may_retry(other, one.nginx), true)
        second.ends()
        equal(one.nginx.counts():of("retries u"), 0)
        equal(limit.may_retry({}, one.nginx), true, "without limits")
    end},
    {"a part of the requests in flight may be retries", function()
        local one = gateway({["amesh-limits"] = "retries=0,retry-percent=50"})
        local list = {}
        for index = 1, 5 do
            list[index] = one.send().ctx
        end
        local sum = 0
        for _, ctx in ipairs(list) do
            sum = sum + (limit.may_retry(ctx, one.nginx) and 1 or 0)
        end
        equal(sum, 2)
        one = gateway({["amesh-limits"] = "retries=3,retry-percent=20"})
        local ctx = one.send().ctx
        equal(limit.may_retry(ctx, one.nginx), true, "the least")
    end},
    {"where no more retries may be the last answer is the client's", function()
        local one = gateway({["amesh-limits"] = "retries=0"})
        local ctx = one.send().ctx
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
