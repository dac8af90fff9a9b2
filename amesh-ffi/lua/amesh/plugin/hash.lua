--- What keeps requests on one endpoint: Envoy's hash policies.
--
-- As in Envoy the hash is worked out when a balancer asks for it: upstreams that are balanced otherwise set no cookie. The
-- plugin only says of which route the policies are. APISIX does not ask the balancer where there is a single node, so the
-- plugin does that itself before the request goes on.

local bit = require("bit")
local hash = require("amesh.balancer.hash")
local plugin = require("amesh.plugin")

local bxor = bit.bxor
local ipairs = ipairs
local pairs = pairs
local rol = bit.rol
local table_concat = table.concat
local table_sort = table.sort
local tohex = bit.tohex
local tonumber = tonumber
local type = type

local _M = {
    name = "amesh-hash",
    priority = 10400,
}

-- The balancers that ask for a hash.
local HASHING = {amesh_ring_hash = true, amesh_maglev = true}

-- What is no header to nginx.
local PSEUDO = {
    [":authority"] = function(ctx, nginx) return nginx.var(ctx, "http_host") end,
    [":method"] = function(ctx, nginx) return nginx.var(ctx, "request_method") end,
    [":path"] = function(ctx, nginx) return nginx.target(ctx) end,
    [":scheme"] = function(ctx, nginx) return nginx.var(ctx, "scheme") end,
}


-- What takes the place of a match, given its groups: Envoy writes them as \0 to \9, and a backslash as two.
local function replacement(put)
    local parts = {}
    local at = 1
    while at <= #put do
        local text, digit = put:match("^([^\\]+)", at), put:match("^\\(%d)", at)
        if digit then
            parts[#parts + 1] = tonumber(digit)
            at = at + 2
        elseif text then
            parts[#parts + 1] = text
            at = at + #text
        else
            parts[#parts + 1] = "\\"
            at = at + 2
        end
    end
    return function(groups)
        local texts = {}
        for index, part in ipairs(parts) do
            texts[index] = type(part) == "string" and part or groups[part] or ""
        end
        return table_concat(texts)
    end
end


-- All lines of a header, whatever their order; each line is hashed with the hash of the lines before it as the seed.
local function header(conf, nginx)
    local wrong = plugin.wrong(conf, {name = "string", regex = "string?", put = "string?"}, "header")
    if wrong then
        return nil, wrong
    end
    local pseudo = PSEUDO[conf.name]
    local put = conf.regex and replacement(conf.put or "")
    return function(ctx)
        local lines = pseudo and {pseudo(ctx, nginx)} or nginx.request_header_lines(ctx, conf.name)
        if #lines == 0 then
            return nil
        end
        local values = {}
        for index, line in ipairs(lines) do
            values[index] = put and nginx.replace(line, conf.regex, put) or line
        end
        table_sort(values)
        local sum = 0ULL
        for _, value in ipairs(values) do
            sum = hash.xx(value, sum)
        end
        return sum
    end
end


-- The first cookie of that name; nil when there is none or an empty one.
local function cookie_value(ctx, nginx, name)
    for _, line in ipairs(nginx.request_header_lines(ctx, "cookie")) do
        for one in line:gmatch("[^;]+") do
            local known, value = one:match("^ *([^=]*)=(.*)$")
            if known == name then
                value = value:match('^"(.*)"$') or value
                return value ~= "" and value or nil
            end
        end
    end
    return nil
end


local function cookie(conf, nginx)
    local wrong = plugin.wrong(conf, {
        name = "string", ttl = "number?", path = "string?", attributes = "table?",
    }, "cookie")
    if wrong then
        return nil, wrong
    end
    local tail = {}
    if conf.ttl and conf.ttl ~= 0 then
        tail[#tail + 1] = ("; Max-Age=%d"):format(conf.ttl)
    end
    if conf.path then
        tail[#tail + 1] = "; Path=" .. conf.path
    end
    for _, attribute in ipairs(conf.attributes or {}) do
        wrong = plugin.wrong(attribute, {name = "string", value = "string?"}, "cookie.attributes")
        if wrong then
            return nil, wrong
        end
        tail[#tail + 1] = "; " .. attribute.name .. (attribute.value and "=" .. attribute.value or "")
    end
    tail = table_concat(tail) .. "; HttpOnly"

    return function(ctx)
        local value = cookie_value(ctx, nginx, conf.name)
        if not value then
            if not conf.ttl then
                return nil
            end
            -- The same for all requests of a connection, so that they stay together before the client has the cookie.
            local client, server = nginx.connection(ctx)
            value = tohex(hash.xx(client .. server), 16)
            local set = ctx.amesh_cookies or {}
            set[#set + 1] = ('%s="%s"%s'):format(conf.name, value, tail)
            ctx.amesh_cookies = set
        end
        return hash.xx(value)
    end
end


-- The first parameter of that name, as it was sent.
local function query(name, nginx)
    return function(ctx)
        local text = nginx.target(ctx):match("%?(.*)$")
        for one in (text or ""):gmatch("[^&]+") do
            local known, value = one:match("^([^=]*)=?(.*)$")
            if known == name then
                return hash.xx(value)
            end
        end
        return nil
    end
end


local function source_ip(_, nginx)
    return function(ctx)
        return hash.xx(nginx.var(ctx, "remote_addr") or "")
    end
end


local METHODS = {header = header, cookie = cookie, query = query, source_ip = source_ip}


function _M.compile(conf, nginx)
    local wrong = plugin.wrong(conf, {policies = "table", other_hosts = "number?"}, "amesh-hash")
    if wrong then
        return nil, wrong
    end
    local policies = {other_hosts = conf.other_hosts}
    for index, policy in ipairs(conf.policies) do
        wrong = plugin.wrong(policy, {
            header = "table?", cookie = "table?", query = "string?", source_ip = "boolean?", terminal = "boolean?",
        }, "policies")
        if wrong then
            return nil, wrong
        end
        local made, err
        for name, method in pairs(METHODS) do
            if policy[name] then
                if made then
                    return nil, "policies may have one method each"
                end
                made, err = method(policy[name], nginx)
                if not made then
                    return nil, err
                end
            end
        end
        if not made then
            return nil, "policies must have one of header, cookie, query and source_ip"
        end
        policies[index] = {hash = made, terminal = policy.terminal}
    end
    return policies
end


-- All policies together: each turns what the ones before it gave.
local function combined(policies, ctx)
    local sum
    for _, policy in ipairs(policies) do
        local one = policy.hash(ctx)
        if one then
            sum = sum and bxor(rol(sum, 1), one) or one
        end
        if policy.terminal and sum then
            break
        end
    end
    return sum
end


--- The hash of a request, in halves; nil where no policy gives one. Worked out once for each request.
function _M.key(ctx)
    local policies = ctx.amesh_hash_policies
    if policies then
        ctx.amesh_hash_policies = nil
        local sum = combined(policies, ctx)
        if sum then
            ctx.amesh_hash_high, ctx.amesh_hash_low = hash.halves(sum)
        end
    end
    return ctx.amesh_hash_high, ctx.amesh_hash_low
end


function _M.access(policies, ctx)
    ctx.amesh_hash_policies = policies
    ctx.amesh_other_hosts = policies.other_hosts
end


function _M.before_proxy(_, ctx, nginx)
    if HASHING[nginx.balancer(ctx)] then
        _M.key(ctx)
    end
end


function _M.header_filter(_, ctx, nginx)
    -- Envoy sets the cookie on answers of the upstream alone.
    if ctx.amesh_cookies and nginx.upstream_answered() then
        for _, cookie_text in ipairs(ctx.amesh_cookies) do
            nginx.add_response_header("Set-Cookie", cookie_text)
        end
    end
end


return _M
