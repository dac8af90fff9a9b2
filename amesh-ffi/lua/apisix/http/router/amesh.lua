--- What `apisix.router.http: amesh` of APISIX's config.yaml names: the router with its collaborators.

local core = require("apisix.core")
local service = require("apisix.http.service")

-- Routes of Amesh have conditions on these.
require("amesh.path").register(core.ctx.register_var)

local agent = require("ngx.process").type() == "privileged agent"

return require("amesh.router").new({
    http_route = require("apisix.http.route"),
    service = service.get,
    services = service.services,
    tablepool = core.tablepool,
    log_error = function(text)
        core.log.error(text)
    end,
    expr = require("resty.expr.v1"),
    ipmatcher = require("resty.ipmatcher"),
    re_find = ngx.re.find,
    re_match = ngx.re.match,
    load = loadstring,
    idle = agent,
})
