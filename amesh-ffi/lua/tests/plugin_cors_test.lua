local case = require("plugin_case")
local cors = require("amesh.plugin.cors")
local fake = require("fake")
local plugin = require("amesh.plugin")
local equal = fake.equal


--- What a policy makes of a request: the status, where it answers, and the headers of the response, of which the upstream
-- has set some.
local function send(conf, method, var, upstream)
    var = var or {}
    var.request_method = method
    local nginx = case.nginx({var = var})
    local made = plugin.of(cors, nginx)
    assert(made.check_schema(conf))
    local ctx = {var = var}
    made.rewrite(conf, ctx)
    if not nginx.response.status then
        nginx.response.headers = upstream or {}
    end
    made.header_filter(conf, ctx)
    return nginx.response.status, nginx.response.headers
end


local function preflight(conf, origin, more)
    local var = {http_origin = origin, http_access_control_request_method = "PATCH"}
    for name, value in pairs(more or {}) do
        var[name] = value
    end
    return send(conf, "OPTIONS", var)
end


local function policy(more)
    local conf = {origins = {"^https:\\/\\/a\\.example\\z"}}
    for name, value in pairs(more or {}) do
        conf[name] = value
    end
    return conf
end

local A = "https://a.example"


-- Names in brackets are those of the observations of a real Envoy.
return {
    {"preflight requests are answered [SEM-C01]", function()
        local status, headers = preflight(policy({
            methods = "GET,POST", headers = "x-a", expose = "x-e", max_age = "60", credentials = true,
        }), A)
        equal(status, 200)
        equal(headers["access-control-allow-origin"], A)
        equal(headers["access-control-allow-methods"], "GET,POST")
        equal(headers["access-control-allow-headers"], "x-a")
        equal(headers["access-control-expose-headers"], "x-e")
        equal(headers["access-control-max-age"], "60")
        equal(headers["access-control-allow-credentials"], "true")
        equal(headers["vary"], nil)
    end},
    {"what is not configured is not said", function()
        local status, headers = preflight(policy(), A)
        equal(status, 200)
        equal(headers["access-control-allow-methods"], nil)
        equal(headers["access-control-allow-headers"], nil)
        equal(headers["access-control-allow-credentials"], nil)
        equal(headers["access-control-max-age"], nil)
    end},
    {"an asterisk is what was asked for [SEM-C01]", function()
        local conf = {origins = {"^\\*\\z"}, methods = "*", headers = "*"}
        local status, headers = preflight(conf, "null", {http_access_control_request_headers = "x-b, x-c"})
        equal(status, 200)
        equal(headers["access-control-allow-origin"], "null")
        equal(headers["access-control-allow-methods"], "PATCH")
        equal(headers["access-control-allow-headers"], "x-b, x-c")
    end},
    {"other origins [SEM-C02]", function()
        equal((preflight(policy(), "https://b.example")), nil)
        local status, headers = preflight(policy({methods = "GET", answers_others = true}), "https://b.example")
        equal(status, 200)
        equal(headers["access-control-allow-origin"], nil)
        equal(headers["access-control-allow-methods"], "GET")
    end},
    {"an OPTIONS request that is no preflight [SEM-C03]", function()
        local status, headers = send(policy(), "OPTIONS", {http_origin = A})
        equal(status, nil)
        equal(headers["access-control-allow-origin"], A)
        equal((send(policy(), "OPTIONS", {http_access_control_request_method = "GET"})), nil)
    end},
    {"responses [SEM-C04]", function()
        local upstream = {["access-control-allow-origin"] = "*"}
        local status, headers = send(policy({methods = "GET", expose = "x-e"}), "GET", {http_origin = A}, upstream)
        equal(status, nil)
        equal(headers["access-control-allow-origin"], A)
        equal(headers["access-control-expose-headers"], "x-e")
        equal(headers["access-control-allow-methods"], nil)
        upstream = {["access-control-allow-origin"] = "x"}
        local _
        _, headers = send(policy({expose = "x-e"}), "GET", {http_origin = "https://b.example"}, upstream)
        equal(headers["access-control-allow-origin"], "x")
        equal(headers["access-control-expose-headers"], nil)
    end},
    {"origins by case, and whole where the pattern is whole [SEM-C05]", function()
        equal((preflight(policy(), "https://A.example")), nil)
        equal((preflight(policy(), "https://a.example.org")), nil)
        equal((preflight({origins = {"^(?:https://r[0-9])\\z"}}, "https://r1")), 200)
        equal((preflight({origins = {"^(?:https://r[0-9])\\z"}}, "https://r12")), nil)
        equal((preflight({origins = {"(?i:^https://I\\z)"}}, "https://i")), 200)
        equal((preflight({origins = {"^(?:.+)\\z"}}, "anything")), 200)
    end},
    {"a private network", function()
        local asked = {http_access_control_request_private_network = "true"}
        local _, headers = preflight(policy({private_network = true}), A, asked)
        equal(headers["access-control-allow-private-network"], "true")
        _, headers = preflight(policy(), A, asked)
        equal(headers["access-control-allow-private-network"], nil)
        _, headers = preflight(policy({private_network = true}), A)
        equal(headers["access-control-allow-private-network"], nil)
    end},
    {"a part of the requests", function()
        local conf = policy({part = {numerator = 0, denominator = 100}})
        local status, headers = preflight(conf, A)
        equal(status, nil)
        equal(headers["access-control-allow-origin"], nil)
        equal((preflight(policy({part = {numerator = 1, denominator = 1000000}}), A)), 200)
    end},
    {"an answer that came before leaves nothing to say", function()
        local nginx = case.nginx({})
        local made = plugin.of(cors, nginx)
        made.header_filter(policy(), {var = {http_origin = A}})
        equal(next(nginx.response.headers), nil)
    end},
    {"what is not understood is refused", function()
        fake.contains(case.refused(cors, {}), "origins is missing")
        fake.contains(case.refused(cors, {origins = {}, ages = 1}), "ages is not known")
        fake.contains(case.refused(cors, {origins = {}, part = {numerator = 1, denominator = 3}}), "must be 100")
    end},
}
