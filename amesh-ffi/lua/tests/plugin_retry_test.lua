local case = require("plugin_case")
local fake = require("fake")
local plugin = require("amesh.plugin")
local retry = require("amesh.plugin.retry")
local equal = fake.equal


--- A request that was begun: `again` tells what a try came to and gives what happens then.
local function begun(conf, headers, ctx)
    local tries = {upstream_bytes_sent = {}, upstream_response_time = {}, upstream_header_time = {}}
    local nginx = case.nginx({headers = headers or {}, var = {}})
    local made = plugin.of(retry, nginx)
    assert(made.check_schema(conf))
    local balancing = false
    ctx = ctx or {}
    function nginx.in_balancer() return balancing end
    function nginx.connect_timeout() return 10 end
    function nginx.set_tries(_, connect, wait, times) tries.connect, tries.wait, tries.times = connect, wait, times end
    function nginx.set_timeouts(connect, wait) tries.connect, tries.wait = connect, wait end
    function nginx.tries(name) return tries[name] end
    function nginx.fail(status) tries.ended = status end
    made.before_proxy(conf, ctx)
    balancing = true

    function tries.sent() return nginx.request.headers["x-envoy-attempt-count"] end
    function tries.expected() return nginx.request.headers["x-envoy-expected-rq-timeout-ms"] end
    function tries.told()
        made.header_filter(conf, ctx)
        return nginx.response.headers["x-envoy-attempt-count"]
    end
    function tries.again(state, status, sent, response_time, header_time)
        table.insert(tries.upstream_bytes_sent, sent)
        table.insert(tries.upstream_response_time, response_time)
        table.insert(tries.upstream_header_time, header_time or "-")
        function nginx.last_failure() return state, status end
        made.before_proxy(conf, ctx)
        return tries.ended
    end
    return tries
end


local ISTIO = {retry = {times = 2, on = {"connect"}, statuses = {503}}}


-- Names in brackets are those of the observations of a real Envoy.
return {
    {"no limit, no further try", function()
        local tries = begun({})
        equal(tries.connect, 10)
        equal(tries.wait, 86400)
        equal(tries.times, 0)
    end},
    {"the shortest limit bounds each wait [SEM-U01, SEM-U02]", function()
        local tries = begun({timeout = 15, idle_timeout = 2})
        equal(tries.connect, 2)
        equal(tries.wait, 2)
        equal(begun({timeout = 0.1}).connect, 0.1)
    end},
    {"a timeout for one try [SEM-T03]", function()
        local tries = begun({timeout = 1, retry = {times = 3, on = {"reset"}, per_try_timeout = 0.4}})
        equal(tries.wait, 0.4)
        equal(tries.again("failed", 504, "120", "0.400"), nil)
        equal(tries.wait, 0.4)
        equal(tries.again("failed", 504, "120", "0.400"), nil)
        assert(math.abs(tries.wait - 0.2) < 1e-9, "what is left of all")
        equal(tries.again("failed", 504, "120", "0.200"), 504)
    end},
    {"an upstream is told how long it may take [SEM-O09]", function()
        equal(begun({}).expected(), nil)
        equal(begun({idle_timeout = 1}).expected(), nil)
        equal(begun({timeout = 0.0001}).expected(), "1")
        equal(begun({timeout = 15}).expected(), "15000")
        equal(begun({timeout = 15}, {upgrade = "websocket"}).expected(), "15000")
        equal(begun({timeout = 3, stream_timeout = 2}).expected(), "3000")
        equal(begun({stream_timeout = 2}).expected(), nil)
        equal(begun({stream_timeout = 2}).wait, 2)
        equal(begun({timeout = 1, stream_timeout = 2}).wait, 1)
        local function grpc(conf)
            return begun(conf, {["content-type"] = "application/grpc", ["grpc-timeout"] = "2S"}).expected()
        end
        equal(grpc({grpc_timeout_max = 1}), "1000")
        equal(grpc({grpc_timeout_max = 0}), "2000")
        equal(grpc({grpc_timeout_max = 0, grpc_stream_timeout = true}), nil)
        equal(grpc({grpc_timeout_max = 0, grpc_stream_timeout = true, timeout = 3}), "3000")
        equal(begun({timeout = 15}, nil, {amesh_suppress = true}).expected(), nil)
        equal(begun({retry = {times = 1, on = {"reset"}, per_try_timeout = 0.4}}).expected(), "400")
        local tries = begun({timeout = 1, retry = {times = 3, on = {"reset"}, per_try_timeout = 0.7}})
        equal(tries.expected(), "700")
        equal(tries.again("failed", 504, "120", "0.700"), nil)
        equal(tries.expected(), "300")
    end},
    {"a lost connection is no refused one [SEM-T01]", function()
        equal(begun(ISTIO).again("failed", 502, "0", "0.000"), nil)
        equal(begun(ISTIO).again("failed", 502, "120", "0.010"), 502)
        equal(begun(ISTIO).again("failed", 504, "120", "0.010"), 504)
        equal(begun({retry = {times = 1, on = {"reset"}}}).again("failed", 502, "120", "0.010"), nil)
    end},
    {"the connection of the last try counts", function()
        local tries = begun(ISTIO)
        equal(tries.again("failed", 502, "0", "0.000"), nil)
        equal(tries.again("failed", 502, "120", "0.010"), 502)
    end},
    {"statuses of the policy [SEM-T01]", function()
        equal(begun(ISTIO).again("failed", 503, "120", "0.010", "0.010"), nil)
        equal(begun(ISTIO).again("failed", 500, "120", "0.010", "0.010"), 500)
        equal(begun({retry = {times = 1, on = {"reset"}}}).again("failed", 503, "120", "0.010", "0.010"), 503)
        equal(begun(ISTIO).again("next", 500, "120", "0.010"), 500)
    end},
    {"deadlines of gRPC clients [SEM-U03]", function()
        local grpc = function(timeout)
            return {["content-type"] = "application/grpc", ["grpc-timeout"] = timeout}
        end
        equal(begun({timeout = 3, grpc_timeout_max = 0}, grpc("500m")).wait, 0.5)
        equal(begun({timeout = 3, grpc_timeout_max = 0}, grpc(nil)).wait, 86400)
        equal(begun({timeout = 3, grpc_timeout_max = 2}, grpc("1H")).wait, 2)
        equal(begun({timeout = 3, grpc_timeout_max = 2}, grpc("no time")).wait, 2)
        equal(begun({timeout = 3, grpc_timeout_max = 2}, {["grpc-timeout"] = "1S"}).wait, 3, "no gRPC")
        equal(begun({timeout = 3}, grpc("1S")).wait, 3, "not asked for")
    end},
    {"tries are counted [SEM-O11]", function()
        local tries = begun({attempt_count = true, attempt_count_in_response = true, retry = ISTIO.retry})
        equal(tries.sent(), "1")
        tries.again("failed", 502, "0", "0.000")
        equal(tries.sent(), "2")
        equal(tries.told(), "2")
        equal(begun({}).sent(), nil)
        equal(begun({}).told(), nil)
    end},
    {"an upgraded connection is not bounded", function()
        equal(begun({timeout = 3}, {upgrade = "websocket"}).wait, 86400)
    end},
    {"what is not understood is refused", function()
        fake.contains(case.refused(retry, {retry = {times = 1, on = {"magic"}}}), "knows no magic")
        fake.contains(case.refused(retry, {retry = {on = {}}}), "retry.times is missing")
        fake.contains(case.refused(retry, {hedge = 1}), "amesh-retry.hedge is not known")
    end},
}
