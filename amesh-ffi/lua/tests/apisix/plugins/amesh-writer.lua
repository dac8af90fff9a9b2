--- A control API that stands in for the library, so that a real APISIX can be tested without a control plane:
-- `POST /v1/plugin/amesh-writer` with `{"put": [[key, text]], "delete": [key], "everything": false}`, or with
-- `{"file": path}` of a file that holds the same.

local core = require("apisix.core")
local writer = require("writer")

local config = ngx.shared["xds-config"]
local versions = ngx.shared["xds-config-version"]


local function write()
    ngx.req.read_body()
    local body = core.json.decode(ngx.req.get_body_data() or "")
    if body and body.file then
        local f = assert(io.open(body.file))
        body = core.json.decode(f:read("*a"))
        f:close()
    end
    if not body then
        return 400, "not JSON"
    end
    local ok, version = pcall(writer.publish, config, versions, body.put, body.delete, body.everything)
    if not ok then
        return 500, version
    end
    return 200, ("%.0f %d %d"):format(version, config:capacity(), config:free_space())
end


return {
    version = 0.1,
    priority = 0,
    name = "amesh-writer",
    schema = {type = "object"},
    check_schema = function() return true end,
    control_api = function()
        return {{methods = {"POST"}, uris = {"/v1/plugin/amesh-writer"}, handler = write}}
    end,
}
