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
    {"what only APISIX tells is not told", function()
        equal(answered(nil, "u")["x-apisix-upstream-status"], nil)
        equal(answered(nil, nil, nil, answer)["x-apisix-upstream-status"], nil)
    end},
    {"what is not understood is refused", function()
        fake.contains(case.refused(forward, {manager = {via = "x"}}), "manager.via is not known")
        fake.contains(case.refused(answer, {direct = {status = 200}, manager = {server = 1}}), "must be a string")
    end},
}
