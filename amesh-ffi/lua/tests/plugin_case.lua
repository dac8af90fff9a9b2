--- A plugin as APISIX runs it, with a request and a response of the test's own.

local counts = require("amesh.counts")
local headers = require("amesh.plugin.headers")
local condition = require("amesh.plugin.condition")
local lines = require("amesh.lines")
local pcre = require("router.pcre")
local plugin = require("amesh.plugin")
local fake = require("fake")

local _M = {}


--- Stands in for `amesh.plugin.nginx`; what it does is in `response` and, for requests, in `sent`.
function _M.nginx(request)
    request.headers = request.headers or {}
    local nginx = {response = {headers = {}}, request = request}
    function nginx.var(_, name) return request.var and request.var[name] end
    function nginx.target() return request.target or "/" end
    function nginx.request_header(_, name)
        local value = request.headers and request.headers[name:lower()]
        return type(value) == "table" and value[1] or value
    end
    function nginx.set_response_header(name, value) nginx.response.headers[name:lower()] = value end
    function nginx.path(ctx) return ctx.amesh_path or nginx.target(ctx) end
    function nginx.host(ctx) return ctx.amesh_host or nginx.var(ctx, "http_host") end
    function nginx.replace_all(text, pattern, put)
        local out = {}
        local from, to = pcre.find(text, pattern)
        while from and to >= from do
            local groups = pcre.match(text:sub(from, to), pattern)
            local replaced = put:gsub("%$([%d$])", "${%1}"):gsub("%${([%d$])}", function(group)
                return group == "$" and "$" or groups[tonumber(group)] or ""
            end)
            out[#out + 1] = text:sub(1, from - 1) .. replaced
            text = text:sub(to + 1)
            from, to = pcre.find(text, pattern)
        end
        return table.concat(out) .. text
    end
    function nginx.set_upstream_path(_, path) nginx.response.path = path end
    function nginx.set_upstream_host(_, host) nginx.response.host = host end
    function nginx.node_name() return request.node end
    function nginx.is_grpc() return request.grpc end
    function nginx.set_grpc_path(path) nginx.response.grpc_path = path end
    function nginx.response_header(name)
        local value = nginx.response.headers[name]
        return type(value) == "table" and value[1] or value
    end
    function nginx.status() return tostring(nginx.response.status) end
    function nginx.service_time() return request.took end
    function nginx.all_request_headers() return request.headers end
    function nginx.uuid() return request.uuid or "uuid" end
    function nginx.start_time() return request.time end
    nginx.request_headers = {
        one_line = headers.ONE_REQUEST_LINE,
        get = function(_, name) return request.headers[name] end,
        set = function(_, name, value) request.headers[name] = value end,
    }
    nginx.response_headers = {
        one_line = headers.ONE_RESPONSE_LINE,
        get = function(_, name) return nginx.response.headers[name] end,
        set = function(_, name, value) nginx.response.headers[name] = value ~= "" and value or nil end,
    }
    function nginx.answer(status, body, content_type)
        nginx.response.status, nginx.response.body = status, body
        nginx.response.headers["content-type"] = content_type
    end
    nginx.decode_base64 = fake.decode_base64
    nginx.conditions = condition.new({re_find = pcre.find, expr = {new = function()
        return nil, "no lua-resty-expr here"
    end}})
    nginx.slept = 0
    function nginx.sleep(seconds) nginx.slept = nginx.slept + seconds end
    -- What is drawn, one after the other; zero without a list.
    function nginx.random(limit)
        local drawn = request.random and table.remove(request.random, 1) or 0
        assert(drawn < limit, "no such number can be drawn")
        return drawn
    end
    function nginx.request_header_lines(_, name)
        local value = request.headers and request.headers[name:lower()]
        return type(value) == "table" and value or {value}
    end
    function nginx.in_balancer() return false end
    function nginx.upstream() return request.upstream end
    function nginx.forget_checker(ctx) ctx.up_checker = nil end
    local counted = counts.new({dict = request.dict or fake.dict(), pid = 1, alive = function() return true end})
    function nginx.counts() return counted end
    local waiting = lines.new(function() error("nothing waits here") end)
    function nginx.lines() return waiting end
    function nginx.conf_of() return nil end
    nginx.log_error = fake.log().error
    function nginx.connection() return request.client, request.server end
    function nginx.balancer() return request.balancer end
    function nginx.upstream_answered() return not request.failed end
    function nginx.add_response_header(name, value)
        local answered = nginx.response.headers
        answered[name:lower()] = answered[name:lower()] or {}
        table.insert(answered[name:lower()], value)
    end
    return nginx
end


--- Status, body and headers that a plugin answers in its rewrite phase; no status where it lets the request pass.
function _M.answer(module, conf, request)
    local nginx = _M.nginx(request)
    local made = plugin.of(module, nginx)
    assert(made.check_schema(conf))
    local returned = made.rewrite(conf, {})
    assert(returned == nil, "a phase returns nothing")
    return nginx.response.status, nginx.response.body, nginx.response.headers
end


--- Runs a phase of a plugin; gives what `nginx` stands for and APISIX's context.
function _M.run(module, phase, conf, request, response, ctx)
    local nginx = _M.nginx(request)
    nginx.response = response or nginx.response
    local made = plugin.of(module, nginx)
    assert(made.check_schema(conf))
    ctx = ctx or {}
    made[phase](conf, ctx)
    return nginx, ctx
end


--- What is wrong with a configuration.
function _M.refused(module, conf)
    local ok, err = plugin.of(module, _M.nginx({})).check_schema(conf)
    assert(not ok, "it was taken")
    return err
end


return _M
