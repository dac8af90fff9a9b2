local case = require("plugin_case")
local fake = require("fake")
local fault = require("amesh.plugin.fault")
local plugin = require("amesh.plugin")
local equal = fake.equal

local ALL = {numerator = 100, denominator = 100}


--- What a fault does to a request: status, body, headers, and for how long it waits.
local function inject(conf, request)
    request = request or {}
    request.var = request.var or {}
    local nginx = case.nginx(request)
    local made = plugin.of(fault, nginx)
    assert(made.check_schema(conf))
    local ctx = {var = request.var}
    made.rewrite(conf, ctx)
    made.log(conf, ctx)
    return nginx.response.status, nginx.response.body, nginx.response.headers, nginx.slept
end


local function abort(status, part)
    return {abort = {http_status = status, body = "fault filter abort", part = part or ALL}}
end


-- Names in brackets are those of the observations of a real Envoy.
return {
    {"an answer in place of the upstream's [SEM-X01]", function()
        local status, body, headers = inject(abort(503))
        equal(status, 503)
        equal(body, "fault filter abort")
        equal(headers["content-type"], "text/plain")
    end},
    {"first the delay, then the answer [SEM-X02]", function()
        local conf = abort(503)
        conf.delay = {milliseconds = 250, part = ALL}
        local status, _, _, slept = inject(conf)
        equal(status, 503)
        equal(slept, 0.25)
        conf.abort = nil
        status, _, _, slept = inject(conf)
        equal(status, nil)
        equal(slept, 0.25)
    end},
    {"each is drawn for itself, in millionths [SEM-X04]", function()
        local conf = abort(503, {numerator = 5000, denominator = 1000000})
        conf.delay = {milliseconds = 1000, part = {numerator = 1, denominator = 10000}}
        local status, _, _, slept = inject(conf, {random = {0, 5000}})
        equal(slept, 1)
        equal(status, nil)
        status, _, _, slept = inject(conf, {random = {1, 4999}})
        equal(slept, 0)
        equal(status, 503)
        equal(inject(abort(503, {numerator = 0, denominator = 100})), nil)
    end},
    {"a gRPC status [SEM-X03]", function()
        local conf = {abort = {grpc_status = 14, body = "fault filter abort", part = ALL}}
        local status, body, headers = inject(conf)
        equal(status, 200)
        equal(body, "fault filter abort")
        equal(headers["grpc-status"], nil)
        status, body, headers = inject(conf, {headers = {["content-type"] = "application/grpc"}})
        equal(status, 200)
        equal(body, "")
        equal(headers["grpc-status"], 14)
        equal(headers["grpc-message"], "fault filter abort")
        equal(headers["content-type"], "application/grpc")
    end},
    {"what gRPC clients make of a status of HTTP", function()
        local grpc = {headers = {["content-type"] = "application/grpc+proto"}}
        for http, status in pairs({[503] = 14, [404] = 12, [418] = 2}) do
            local answered, _, headers = inject(abort(http), grpc)
            equal(answered, 200)
            equal(headers["grpc-status"], status)
        end
        equal(inject(abort(503), {headers = {["content-type"] = "application/grpc-web"}}), 503)
        local conf = abort(503)
        conf.abort.body = "50%\n"
        local _, _, headers = inject(conf, grpc)
        equal(headers["grpc-message"], "50%25%0A")
    end},
    {"conditions [SEM-X04]", function()
        local conf = abort(503)
        conf.vars = {{"http_x_user", "==", "jason"}, {"http_x_off", "!", "~~", ".*"}}
        equal(inject(conf, {var = {http_x_user = "jason"}}), 503)
        equal(inject(conf, {var = {http_x_user = "eve"}}), nil)
        equal(inject(conf, {var = {http_x_user = "jason", http_x_off = ""}}), nil)
    end},
    {"a request asks for a fault itself [SEM-O10]", function()
        local conf = {delay = {part = ALL}, abort = {part = ALL, body = "fault filter abort"}}
        local status, _, _, slept = inject(conf)
        equal(status, nil)
        equal(slept, 0)
        status, _, _, slept = inject(conf, {headers = {
            ["x-envoy-fault-delay-request"] = "1500", ["x-envoy-fault-abort-request"] = "555",
        }})
        equal(status, 555)
        equal(slept, 1.5)
        for _, value in ipairs({"600", "199", "x", "-503", ""}) do
            equal(inject(conf, {headers = {["x-envoy-fault-abort-request"] = value}}), nil)
        end
        local _, _, headers = inject(conf, {headers = {
            ["x-envoy-fault-abort-grpc-request"] = "5", ["content-type"] = "application/grpc",
        }})
        equal(headers["grpc-status"], 5)
    end},
    {"a request asks for a smaller part, not for a larger one", function()
        local conf = {abort = {part = {numerator = 50, denominator = 100}, body = "x"}}
        local function asked(percentage, drawn)
            return inject(conf, {random = {drawn}, headers = {
                ["x-envoy-fault-abort-request"] = "503", ["x-envoy-fault-abort-request-percentage"] = percentage,
            }})
        end
        equal(asked("10", 9), 503)
        equal(asked("10", 10), nil)
        equal(asked("100", 50), nil)
        equal(asked("100", 49), 503)
        equal(asked("0", 0), nil)
        equal(asked("many", 49), 503)
    end},
    {"no more faults at once than there may be", function()
        local conf = abort(503)
        conf.max_active = 1
        local made = plugin.of(fault, case.nginx({}))
        local first, second = {var = {}}, {var = {}}
        made.rewrite(conf, first)
        equal(first.amesh_fault, true)
        made.rewrite(conf, second)
        equal(second.amesh_fault, nil)
        made.log(conf, second)
        made.log(conf, first)
        made.rewrite(conf, second)
        equal(second.amesh_fault, true)
        made.log(conf, second)
    end},
    {"what is not understood is refused", function()
        fake.contains(case.refused(fault, {abort = {http_status = 100, body = "", part = ALL}}), "from 200 to 599")
        fake.contains(case.refused(fault, {delay = {}}), "delay.part is missing")
        fake.contains(case.refused(fault, {delay = {part = {numerator = 1, denominator = 7}}}), "must be 100, 10000")
        fake.contains(case.refused(fault, {rate = {}}), "rate is not known")
        fake.contains(case.refused(fault, {vars = {"x"}}), "inside brackets")
    end},
}
