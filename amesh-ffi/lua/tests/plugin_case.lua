--- A plugin as APISIX runs it, with a request and a response of the test's own.

local pcre = require("router.pcre")
local plugin = require("amesh.plugin")
local fake = require("fake")

local _M = {}


--- Stands in for `amesh.plugin.nginx`; what it does is in `response` and, for requests, in `sent`.
function _M.nginx(request)
    local nginx = {response = {headers = {}}, request = request}
    function nginx.var(_, name) return request.var and request.var[name] end
    function nginx.target() return request.target or "/" end
    function nginx.request_header(_, name) return request.headers and request.headers[name:lower()] end
    function nginx.set_response_header(name, value) nginx.response.headers[name:lower()] = value end
    function nginx.answer(status, body, content_type)
        nginx.response.status, nginx.response.body = status, body
        nginx.response.headers["content-type"] = content_type
    end
    nginx.decode_base64 = fake.decode_base64
    function nginx.request_header_lines(_, name)
        local value = request.headers and request.headers[name:lower()]
        return type(value) == "table" and value or {value}
    end
    function nginx.replace(text, regex, made)
        local out = {}
        local from, to = pcre.find(text, regex)
        while from do
            out[#out + 1] = text:sub(1, from - 1) .. made(pcre.match(text:sub(from, to), regex))
            text = text:sub(to + 1)
            from, to = pcre.find(text, regex)
        end
        return table.concat(out) .. text
    end
    function nginx.connection() return request.client, request.server end
    function nginx.balancer() return request.balancer end
    function nginx.upstream_answered() return not request.failed end
    function nginx.add_response_header(name, value)
        local headers = nginx.response.headers
        headers[name:lower()] = headers[name:lower()] or {}
        table.insert(headers[name:lower()], value)
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


--- What is wrong with a configuration.
function _M.refused(module, conf)
    local ok, err = plugin.of(module, _M.nginx({})).check_schema(conf)
    assert(not ok, "it was taken")
    return err
end


return _M
