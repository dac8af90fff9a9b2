--- Locations of redirects as Envoy makes them: each part from the route where it names it, else from the request.

local paths = require("amesh.path")
local plugin = require("amesh.plugin")
local rewrites = require("amesh.plugin.rewrite")

local _M = {}


-- The beginning of the port in a host, with its colon.
local function port_at(host)
    if host:sub(1, 1) == "[" then
        local bracket = host:find("]:", 1, true)
        return bracket and bracket + 1
    end
    -- The last one.
    return host:match("^.*():")
end


-- The request's host. A port goes where the route names another, or where it is the default one of the scheme that the
-- redirect leads away from.
local function request_host(host, sent_scheme, scheme, replaces_port)
    local at = port_at(host)
    if not at then
        return host
    end
    local port = host:sub(at)
    local remove = replaces_port
    if scheme ~= sent_scheme then
        remove = remove or (sent_scheme == "http" and port == ":80") or (sent_scheme == "https" and port == ":443")
    end
    return remove and host:sub(1, at - 1) or host
end


--- A function that makes the location for a request, or gives nil, the status with which the request is answered, and
-- maybe a location; nil and what is wrong.
function _M.compile(conf, nginx)
    local wrong = plugin.wrong(conf, {
        status = "number", scheme = "string?", host = "string?", port = "number?", path = "string?",
        form = "table?", rewrite = "table?", strip_query = "boolean?",
    }, "redirect")
    if wrong then
        return nil, wrong
    end
    local form, rewrite, err
    if conf.form then
        form, err = paths.compile(conf.form)
        if not form then
            return nil, "redirect." .. err
        end
    end
    if conf.rewrite then
        rewrite, err = rewrites.compile(conf.rewrite, nginx)
        if not rewrite then
            return nil, "redirect." .. err
        end
    end
    if conf.status < 300 or conf.status > 399 then
        return nil, "redirect.status must be from 300 to 399"
    end
    local port = conf.port and ":" .. conf.port or ""
    local own_query = conf.path and conf.path:find("?", 1, true) ~= nil

    return function(ctx)
        local target = nginx.target(ctx)
        if form then
            local written, status, elsewhere = form(target)
            if not written then
                return nil, status, elsewhere
            end
            target = written
        end
        ctx.amesh_path = target
        -- APISIX has put the scheme there by which the request came, or what a trusted proxy said.
        local sent = nginx.request_header(ctx, "X-Forwarded-Proto") or nginx.var(ctx, "scheme")
        local scheme = conf.scheme or sent
        local host = conf.host or request_host(nginx.var(ctx, "http_host") or "", sent, scheme, conf.port ~= nil)
        local path, query = (rewrite and rewrite(target) or target):match("^([^?]*)(.*)$")
        if conf.path then
            path = conf.path
        end
        if path:sub(1, 1) ~= "/" then
            path = "/" .. path
        end
        if own_query or conf.strip_query then
            query = ""
        end
        return scheme .. "://" .. host .. port .. path .. query
    end
end


return _M
