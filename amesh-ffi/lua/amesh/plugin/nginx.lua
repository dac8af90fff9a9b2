--- What plugins need of nginx and of APISIX. Tests pass tables of their own.

local balancer = require("ngx.balancer")
local condition = require("amesh.plugin.condition")
local copy = require("amesh.plugin.copy")
local core = require("apisix.core")
local counts = require("amesh.counts")
local expr = require("resty.expr.v1")
local headers = require("amesh.plugin.headers")
local limit = require("amesh.plugin.limit")
local lines = require("amesh.lines")
local paths = require("amesh.path")
local process = require("ngx.process")
local semaphore = require("ngx.semaphore")

local io_open = io.open
local math_floor = math.floor
local math_random = math.random
local ngx = ngx
local setmetatable = setmetatable
local tonumber = tonumber
local tostring = tostring
local type = type

local _M = {}

-- Routes with plugins of this package have conditions on these.
paths.register(core.ctx.register_var)


--- A variable of nginx or of APISIX.
function _M.var(ctx, name)
    return ctx.var[name]
end


--- What nginx notes for each try of an upstream in a variable, as texts.
-- Not from `ctx.var`, which keeps what it once read.
function _M.tries(name)
    local list = {}
    for one in (ngx.var[name] or ""):gmatch("[^,:%s]+") do
        list[#list + 1] = one
    end
    return list
end


--- The request line's target as the client sent it.
function _M.target(ctx)
    return ctx.var.real_request_uri or ctx.var.request_uri
end


--- A header of the request; the first value where there are several.
function _M.request_header(ctx, name)
    return core.request.header(ctx, name)
end


--- The path and query as Envoy's router sees them.
function _M.path(ctx)
    return ctx.amesh_path or _M.target(ctx)
end


--- The host as Envoy's router sees it.
function _M.host(ctx)
    return ctx.amesh_host or ctx.var.http_host
end


--- A text with all matches of a pattern replaced; nil and what is wrong.
function _M.replace_all(text, pattern, put)
    local replaced, _, err = ngx.re.gsub(text, pattern, put, "jo")
    return replaced, err
end


--- Sets the path and query that an upstream gets. nginx writes it after the upstream's name, so that without a slash in
-- front it would be part of the name.
function _M.set_upstream_path(ctx, path)
    ctx.var.upstream_uri = path:sub(1, 1) == "/" and path or "/" .. path
end


--- Sets the host that an upstream gets.
function _M.set_upstream_host(ctx, host)
    ctx.var.upstream_host = host
end


--- The name of the node that was chosen, if it has one.
function _M.node_name(ctx)
    return ctx.picked_server and ctx.picked_server.domain
end


--- Whether the upstream is asked by gRPC.
function _M.is_grpc(ctx)
    return ctx.upstream_scheme == "grpc" or ctx.upstream_scheme == "grpcs"
end


--- Sets the path that a gRPC upstream gets, which nginx makes of the request's own.
function _M.set_grpc_path(path)
    -- A plus sign is a space only in a query.
    ngx.req.set_uri(ngx.unescape_uri((path:gsub("%?.*", ""):gsub("%+", "%%2B"))))
end


--- A header of the response; the first value where there are several.
function _M.response_header(name)
    local value = ngx.header[name]
    return type(value) == "table" and value[1] or value
end


--- The status of the response, as text.
function _M.status()
    return tostring(ngx.status)
end


--- A random UUID for a request: nginx's own id of it, written so. APISIX's logs name the request by it from now on.
function _M.uuid(ctx)
    local id = ngx.var.request_id
    -- Version 4, and the variant that a UUID's other digits are for.
    local variant = ("89ab"):byte(tonumber(id:sub(17, 17), 16) % 4 + 1)
    local uuid = ("%s-%s-4%s-%c%s-%s"):format(
        id:sub(1, 8), id:sub(9, 12), id:sub(14, 16), variant, id:sub(18, 20), id:sub(21, 32))
    if ctx.var.apisix_request_id then
        ctx.var.apisix_request_id = uuid
    end
    return uuid
end


--- When the request came, in seconds.
function _M.start_time()
    return ngx.req.start_time()
end


-- Headers with all their values, for `amesh.plugin.headers`.
_M.request_headers = {
    one_line = headers.ONE_REQUEST_LINE,
    get = function(ctx, name) return core.request.headers(ctx)[name] end,
    set = core.request.set_header,
}

_M.response_headers = {
    one_line = headers.ONE_RESPONSE_LINE,
    get = function(_, name) return ngx.header[name] end,
    set = function(_, name, value) ngx.header[name] = value end,
}


--- The headers of the request, by their names in lower case.
function _M.all_request_headers(ctx)
    return core.request.headers(ctx)
end


--- All lines of a header of the request, by its name in lower case.
function _M.request_header_lines(ctx, name)
    local value = core.request.headers(ctx)[name]
    return type(value) == "table" and value or {value}
end


local function address(host, port)
    return (host:find(":", 1, true) and "[" .. host .. "]" or host) .. ":" .. port
end


--- The addresses of the connection that the request came by: the client's and ours.
function _M.connection(ctx)
    local var = ctx.var
    -- Where nginx takes the client's address from a header these are still those of the connection.
    local host, port = var.realip_remote_addr or var.remote_addr, var.realip_remote_port or var.remote_port
    return address(host, port), address(var.server_addr, var.server_port)
end


--- The kind of balancer of the request's upstream.
function _M.balancer(ctx)
    return ctx.upstream_conf and ctx.upstream_conf.type
end


--- Whether the response is an upstream's, and not one that stands in for it.
function _M.upstream_answered()
    local times = _M.tries("upstream_header_time")
    local last = times[#times]
    return last ~= nil and last ~= "-"
end


--- How long the upstream took to answer with all tries, in milliseconds; nil where none answered.
function _M.service_time()
    local times = ngx.var.upstream_header_time
    local seconds = tonumber(times)
    if times and not seconds then
        local tries = _M.tries("upstream_header_time")
        seconds = tonumber(tries[#tries])
        if seconds then
            local spent = _M.tries("upstream_response_time")
            for at = 1, #tries - 1 do
                seconds = seconds + (tonumber(spent[at]) or 0)
            end
        end
    end
    return seconds and math_floor(seconds * 1000 + 0.5)
end


--- Adds a line to a header of the response.
_M.add_response_header = core.response.add_header


_M.decode_base64 = ngx.decode_base64


--- Conditions compiled, as `amesh.plugin.condition` makes them.
_M.conditions = condition.new({expr = expr, re_find = ngx.re.find})


--- The request as its upstream gets it, once its headers, host and path are what they will be.
_M.request = copy.request


local function admit_copy(conf)
    return limit.admit_copy(conf, _M)
end


--- Sends a copy of such a request to an upstream, with another host.
function _M.send_copy(ctx, request, id, host)
    copy.send(ctx, request, id, host, admit_copy)
end


--- The upstream of a request, once it is chosen.
function _M.upstream(ctx)
    return ctx.upstream_conf
end


--- Lets the answer of a request say nothing of the health of the node that was chosen for it.
function _M.forget_checker(ctx)
    ctx.up_checker = nil
end


-- Whether a process is a worker of this nginx, or was until a moment ago.
local function is_worker(pid)
    local file = io_open("/proc/" .. pid .. "/stat", "r")
    local stat = file and file:read("*a")
    if file then
        file:close()
    end
    local state, parent = (stat or ""):match("%) (%a) (%d+)")
    return state ~= nil and state ~= "Z" and tonumber(parent) == process.get_master_pid()
end


local counted
--- What is in flight, in all workers together.
function _M.counts()
    if not counted then
        local dict = ngx.shared["amesh-limits"]
        local alive = is_worker
        if not dict then
            dict = counts.own_dictionary()
            core.log.warn("amesh: there is no shared dictionary amesh-limits, so each worker limits what it has in flight ",
                          "itself; docs/deploy.md shows how config.yaml declares it")
        elseif not is_worker(ngx.worker.pid()) then
            -- What cannot be seen of this one cannot be seen of others.
            alive = function() return true end
        end
        counted = counts.new({dict = dict, pid = ngx.worker.pid(), alive = alive})
    end
    return counted
end


local waiting
--- Who waits for its turn, in this worker.
function _M.lines()
    if not waiting then
        waiting = lines.new(semaphore.new)
    end
    return waiting
end


--- The time, in seconds.
_M.now = ngx.now


--- What another plugin of the request's route is told; nil where there is none of that name.
function _M.conf_of(ctx, name)
    local plugins = ctx.plugins
    for index = 1, #plugins, 2 do
        if plugins[index].name == name then
            return plugins[index + 1]
        end
    end
    return nil
end


--- What an operator has to know.
_M.log_error = core.log.error


--- Lets the request wait for this many seconds.
function _M.sleep(seconds)
    ngx.sleep(seconds)
end


--- A whole number from 0 up to, but not including, the given one.
function _M.random(below)
    return math_random(0, below - 1)
end


--- Sets a header of the response; nil removes it.
function _M.set_response_header(name, value)
    ngx.header[name] = value
end


--- Whether this is nginx's balancer phase, in which APISIX asks before every try but the first.
function _M.in_balancer()
    return ngx.get_phase() == "balancer"
end


--- How the last try failed: "failed" without an answer or "next" with one, and a status.
function _M.last_failure()
    return balancer.get_last_failure()
end


--- The time, in seconds, that the upstream of the request gives a connection.
function _M.connect_timeout(ctx)
    local timeout = ctx.upstream_conf and ctx.upstream_conf.timeout
    return timeout and timeout.connect or 60
end


--- Before the first try: its timeouts in seconds, and how many more there may be. APISIX takes both from the upstream,
-- which many requests share, so this request gets one of its own that says the rest of what the other says.
--
-- APISIX's own balancers take no node twice but an only one, and it answers 502 when they have none left: the answer of the
-- last node is better. Those of this package come back to nodes.
function _M.set_tries(ctx, connect, wait, times)
    local upstream = ctx.upstream_conf
    local nodes = upstream and upstream.nodes
    if nodes and #nodes > 1 and times > #nodes - 1 and upstream.type:sub(1, 6) ~= "amesh_" then
        times = #nodes - 1
    end
    ctx.upstream_conf = setmetatable({
        timeout = {connect = connect, send = wait, read = wait},
        retries = times,
    }, {__index = upstream})
end


--- Before another try: its timeouts in seconds.
function _M.set_timeouts(connect, wait)
    local ok, err = balancer.set_timeouts(connect, wait, wait)
    if not ok then
        core.log.error("amesh: timeouts of a further try cannot be set: ", err)
    end
end


--- Ends the request with this status in place of another try.
function _M.fail(status)
    return ngx.exit(status)
end


--- Ends the request with this answer. Returning a status from a phase would log a warning for each.
function _M.answer(status, body, content_type)
    -- Nothing else keeps nginx from its default type.
    ngx.header["Content-Type"] = content_type or ""
    if status ~= 204 and status ~= 304 then
        ngx.header["Content-Length"] = #body
    end
    -- Even an empty body: without one nginx would write a page of its own.
    return core.response.exit(status, body)
end


return _M
