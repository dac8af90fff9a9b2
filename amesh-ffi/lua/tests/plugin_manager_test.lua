local answer = require("amesh.plugin.answer")
local case = require("plugin_case")
local fake = require("fake")
local forward = require("amesh.plugin.forward")
local response = require("amesh.plugin.response")
local equal = fake.equal


--- The headers of an answer as the client gets them: APISIX has named itself, and the upstream was named so.
local function answered(manager, theirs, changes, module)
    local conf = {manager = manager}
    if module == answer then
        conf.direct = {status = 404}
    end
    local start = {headers = {server = "APISIX/3", ["x-apisix-upstream-status"] = "502"}}
    local request = {var = {upstream_http_server = theirs, upstream_status = theirs and "200"}}
    local nginx, ctx = case.run(module or forward, "header_filter", conf, request, start)
    if changes then
        case.run(response, "header_filter", {headers = changes}, request, nginx.response, ctx)
    end
    return nginx.response.headers
end

local function add(action)
    return {{add = {{name = "server", action = action, value = "r"}}}}
end

--- The id that an upstream gets, where a client sent that one.
local function requested(manager, sent)
    local request = {headers = {["x-request-id"] = sent}}
    case.run(forward, "rewrite", {manager = manager}, request)
    local of_answer = {headers = {["x-request-id"] = sent}}
    case.run(answer, "rewrite", {manager = manager, direct = {status = 404}}, of_answer)
    equal(of_answer.headers["x-request-id"], request.headers["x-request-id"])
    return request.headers["x-request-id"]
end

--- The headers that an upstream gets, where APISIX has written its own of how a request came.
local function passed_on(manager, sent, kept)
    local headers = {["x-forwarded-proto"] = "http", ["x-forwarded-host"] = "a", ["x-forwarded-port"] = "80"}
    for name, value in pairs(sent) do
        headers[name] = value
    end
    kept.remote_addr = "127.0.0.9"
    case.run(forward, "rewrite", {manager = manager}, {headers = headers, var = kept})
    return headers
end

--- The id that a client is told by a route that takes it away, after a fault.
local function told(manager, sent)
    local request = {headers = {["x-request-id"] = sent}, var = {}}
    local nginx, ctx = case.run(forward, "header_filter", {manager = manager}, request)
    equal(nginx.response.headers["x-request-id"], manager and nginx.request_header(ctx, "x-request-id"))
    case.run(response, "header_filter", {headers = {{remove = {"x-request-id"}}}}, request, nginx.response, ctx)
    return nginx.response.headers["x-request-id"]
end

local REMOVE = {{remove = {"server"}}}
local IF_ABSENT = {server = "m", upstream_server = true}
local PASS = {upstream_server = true}


-- Names in brackets are those of the observations of a real Envoy.
return {
    {"the proxy names itself, whatever the upstream says [SEM-O07]", function()
        equal(answered(nil, "u").server, "envoy")
        equal(answered({server = "m"}, "u").server, "m")
        equal(answered({server = "m"}).server, "m")
        equal(answered(nil, nil, nil, answer).server, "envoy")
        equal(answered({server = "m"}, nil, nil, answer).server, "m")
    end},
    {"an upstream's name is passed on [SEM-O07]", function()
        equal(answered(PASS, "u").server, "u")
        equal(answered(PASS).server, nil)
        equal(answered(PASS, nil, nil, answer).server, nil)
        equal(answered(IF_ABSENT, "u").server, "u")
        equal(answered(IF_ABSENT).server, "m")
        equal(answered(IF_ABSENT, nil, nil, answer).server, "m")
    end},
    {"a route that changes an upstream's name", function()
        equal(answered(PASS, "u", REMOVE).server, nil)
        equal(answered(PASS, nil, add("overwrite")).server, "r")
        equal(answered(IF_ABSENT, "u", REMOVE).server, "m")
        equal(answered(IF_ABSENT, nil, REMOVE).server, "m")
        equal(answered(IF_ABSENT, nil, add("add_if_absent")).server, "r")
        equal(answered(IF_ABSENT, "u", add("add_if_absent")).server, "u")
        equal(answered(IF_ABSENT, nil, add("overwrite_if_exists")).server, "m")
    end},
    {"inside, what a client says of how it came is passed on [SEM-O09]", function()
        local got = passed_on(nil, {["x-envoy-decorator-operation"] = "o", ["x-envoy-external-address"] = "10.0.0.1"}, {
            original_x_forwarded_proto = "https", original_x_forwarded_host = "first", original_x_forwarded_port = "",
            original_forwarded = "for=10.0.0.1",
        })
        equal(got["x-forwarded-proto"], "https")
        equal(got["x-forwarded-host"], "first")
        equal(got["x-forwarded-port"], nil)
        equal(got.forwarded, "for=10.0.0.1")
        equal(got["x-envoy-decorator-operation"], "o")
        equal(got["x-envoy-external-address"], "10.0.0.1")
    end},
    {"at the edge nothing of that is believed [SEM-O09]", function()
        local got = passed_on({edge = 0}, {["x-envoy-decorator-operation"] = "o", ["x-envoy-external-address"] = "10.0.0.1"},
            {original_x_forwarded_proto = "https", original_x_forwarded_host = "first"})
        equal(got["x-forwarded-proto"], "http")
        equal(got["x-forwarded-host"], "first")
        equal(got["x-envoy-decorator-operation"], nil)
        equal(got["x-envoy-external-address"], "127.0.0.9")
    end},
    {"but by as many proxies as are trusted", function()
        local sent = {["x-forwarded-for"] = "10.0.0.1, 10.0.0.2"}
        local got = passed_on({edge = 2}, sent, {original_x_forwarded_proto = "https"})
        equal(got["x-forwarded-proto"], "https")
        equal(got["x-envoy-external-address"], "10.0.0.1")
        equal(passed_on({edge = 3}, {["x-forwarded-for"] = "10.0.0.1"}, {})["x-envoy-external-address"], "127.0.0.9")
    end},
    {"no client tells the proxy what to do [SEM-O10]", function()
        for _, manager in ipairs({{}, {edge = 0}}) do
            local got = passed_on(manager, {["x-envoy-internal"] = "true", ["x-envoy-retry-on"] = "5xx", ["x-envoy-a"] = "b",
                ["x-envoy-expected-rq-timeout-ms"] = "1"}, {})
            equal(got["x-envoy-internal"], nil)
            equal(got["x-envoy-retry-on"], nil)
            equal(got["x-envoy-expected-rq-timeout-ms"], nil)
            equal(got["x-envoy-a"], "b")
        end
    end},
    {"clients are told how long the upstream took [SEM-O09]", function()
        local function took(manager, time)
            local nginx = case.run(forward, "header_filter", {manager = manager}, {took = time, var = {}})
            return nginx.response.headers["x-envoy-upstream-service-time"]
        end
        equal(took(nil, 7), "7")
        equal(took(nil), nil)
        equal(took({suppress_envoy_headers = true}, 7), nil)
        local _, ctx = case.run(forward, "rewrite", {manager = {suppress_envoy_headers = true}}, {})
        equal(ctx.amesh_suppress, true)
    end},
    {"what only APISIX tells is not told", function()
        equal(answered(nil, "u")["x-apisix-upstream-status"], nil)
        equal(answered(nil, nil, nil, answer)["x-apisix-upstream-status"], nil)
    end},
    {"requests without an id get one [SEM-O09]", function()
        equal(requested(nil), "uuid")
        equal(requested(nil, ""), "uuid")
        equal(requested(nil, "c"), "c")
        equal(requested({edge = 0}, "c"), "uuid")
        equal(requested({edge = 1}, "c"), "uuid")
        equal(requested({edge = 0, request_id = "add"}, "c"), "c")
        equal(requested({edge = 0, request_id = "add"}), "uuid")
        equal(requested({edge = 0, request_id = "keep"}, "c"), "c")
        equal(requested({request_id = "keep"}), nil)
        equal(requested({request_id = "keep"}, "c"), "c")
    end},
    {"a request keeps its id for another try", function()
        local nginx, ctx = case.run(forward, "rewrite", {manager = {edge = 0}}, {headers = {}})
        equal(nginx.request.headers["x-request-id"], "uuid")
        nginx.request.uuid = "other"
        case.run(forward, "rewrite", {manager = {edge = 0}}, nginx.request, nil, ctx)
        equal(nginx.request.headers["x-request-id"], "uuid")
    end},
    {"answers tell the id, whatever the route says", function()
        equal(told(nil), nil)
        equal(told({request_id_in_response = true}), "uuid")
        equal(told({request_id_in_response = true}, "c"), "c")
        equal(told({request_id_in_response = true, request_id = "keep"}), nil)
        equal(told({request_id_in_response = true, request_id = "keep"}, "c"), "c")
        equal(told({request_id_in_response = true, edge = 0}, "c"), "uuid")
    end},
    {"what is not understood is refused", function()
        fake.contains(case.refused(forward, {manager = {request_id = "x"}}), "must be add or keep")
        fake.contains(case.refused(forward, {manager = {via = "x"}}), "manager.via is not known")
        fake.contains(case.refused(answer, {direct = {status = 200}, manager = {server = 1}}), "must be a string")
    end},
}
