local fake = require("fake")
local metrics = require("amesh.metrics")
local status = require("amesh.status")
local equal = fake.equal

-- JSON's null, as cjson has it: neither nil nor a text.
local NULL = newproxy()

local WORKERS = {
    {worker = 0, subsystem = "http", version = 9, rejected_count = 2, objects = {routes = 3, ssls = 0}},
    {worker = 1, subsystem = "http", rejected_count = 0, objects = {}, error = "broken"},
}

return {
    {"the status as text", function()
        local text = metrics.render({
            version = 1764000000003,
            library = {
                connected = "istiod:15010", release = "0.1", error = NULL, begun = true,
                types = {Cluster = {acknowledged = 3, error = "refused", version = "7"}, A = {acknowledged = 2}},
                dictionary = {percent = 1.5},
                findings = {['a"b\\c'] = {count = 7, outcome = "ignored"}},
            },
            workers = WORKERS,
        })
        equal(text, table.concat({
            '# TYPE amesh_begun gauge',
            'amesh_begun 1',
            '# TYPE amesh_connected gauge',
            'amesh_connected 1',
            '# TYPE amesh_dictionary_percent gauge',
            'amesh_dictionary_percent 1.5',
            '# TYPE amesh_error gauge',
            'amesh_error 0',
            '# TYPE amesh_findings_count gauge',
            'amesh_findings_count{rule="a\\"b\\\\c"} 7',
            '# TYPE amesh_types_acknowledged gauge',
            'amesh_types_acknowledged{type="A"} 2',
            'amesh_types_acknowledged{type="Cluster"} 3',
            '# TYPE amesh_types_error gauge',
            'amesh_types_error{type="Cluster"} 1',
            '# TYPE amesh_up gauge',
            'amesh_up 1',
            '# TYPE amesh_version gauge',
            'amesh_version 1764000000003',
            '# TYPE amesh_worker_error gauge',
            'amesh_worker_error{subsystem="http",worker="0"} 0',
            'amesh_worker_error{subsystem="http",worker="1"} 1',
            '# TYPE amesh_worker_objects gauge',
            'amesh_worker_objects{subsystem="http",worker="0",kind="routes"} 3',
            'amesh_worker_objects{subsystem="http",worker="0",kind="ssls"} 0',
            '# TYPE amesh_worker_rejected_objects gauge',
            'amesh_worker_rejected_objects{subsystem="http",worker="0"} 2',
            'amesh_worker_rejected_objects{subsystem="http",worker="1"} 0',
            '# TYPE amesh_worker_version gauge',
            'amesh_worker_version{subsystem="http",worker="0"} 9',
            'amesh_worker_version{subsystem="http",worker="1"} 0',
            '',
        }, "\n"))
    end},
    {"without a library there is still an answer", function()
        local versions = fake.dict()
        local deps = {versions = versions, decode = fake.decode, subsystems = {http = true}, count = 1}
        local got = status.collect(deps)
        equal(got.library, nil)
        equal(got.library_error, "the library has not written a status")
        fake.contains(metrics.render(got), "amesh_up 0\n")

        versions:set("status", "{")
        fake.contains(status.collect(deps).library_error, "unexpected")

        versions:set("status", "{connected=true}")
        versions:set("worker/http/0", "{version=4}")
        versions:set("version", 5)
        got = status.collect(deps)
        equal(got.library.connected, true)
        equal(got.library_error, nil)
        equal(got.version, 5)
        equal(got.workers[1].version, 4)
    end},
}
