--- The control API of Amesh, as an APISIX plugin without a phase: `amesh-status` in the list `plugins` of config.yaml.
--
-- `/v1/plugin/amesh-status` answers what the library says of itself, and what each worker has applied, as JSON;
-- `/v1/plugin/amesh-status/metrics` the same as Prometheus text.

local metrics = require("amesh.metrics")
local workers = require("amesh.workers")

local _M = {}


--- What is known, as a table.
-- @param deps `versions`, `decode`, `subsystems`, `count`
function _M.collect(deps)
    local text = deps.versions:get("status")
    local library, err
    if text then
        library, err = deps.decode(text)
    end
    return {
        version = deps.versions:get("version"),
        library = library,
        library_error = not library and (err or "the library has not written a status") or nil,
        workers = workers.all(deps.versions, deps.decode, deps.subsystems, deps.count),
    }
end


--- What APISIX loads for `amesh-status`.
function _M.plugin()
    local core = require("apisix.core")
    local shared = require("amesh.apisix").parts()
    local schema = {type = "object"}

    local function collect()
        return _M.collect({
            versions = shared.versions,
            decode = core.json.decode,
            subsystems = shared.subsystems,
            count = ngx.worker.count(),
        })
    end

    return {
        version = 0.1,
        priority = 0,
        name = "amesh-status",
        schema = schema,
        check_schema = function(conf)
            return core.schema.check(schema, conf)
        end,
        control_api = function()
            return {
                {
                    methods = {"GET"},
                    uris = {"/v1/plugin/amesh-status"},
                    handler = function()
                        return 200, collect()
                    end,
                },
                {
                    methods = {"GET"},
                    uris = {"/v1/plugin/amesh-status/metrics"},
                    handler = function()
                        core.response.set_header("Content-Type", "text/plain; version=0.0.4")
                        return 200, metrics.render(collect())
                    end,
                },
            }
        end,
    }
end


return _M
