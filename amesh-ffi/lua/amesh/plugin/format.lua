--- Texts with parts of the request or the response in them: Envoy's format strings, read by the library.

local plugin = require("amesh.plugin")

local concat = table.concat
local date = os.date
local floor = math.floor
local ipairs = ipairs
local type = type

local _M = {}


local function with_port(address, port)
    if not address or not port then
        return address
    end
    return (address:find(":", 1, true) and "[" .. address .. "]" or address) .. ":" .. port
end


-- Where a connection went before it was redirected, or where it came in.
local function local_address(ctx, nginx)
    local original = nginx.var(ctx, "connection_original_dst")
    if original then
        return original:match("^(.*):(%d+)$")
    end
    return nginx.var(ctx, "server_addr"), nginx.var(ctx, "server_port")
end


local function address(name)
    return function(ctx, nginx) return nginx.var(ctx, name) end
end

local function address_and_port(name, port)
    return function(ctx, nginx) return with_port(nginx.var(ctx, name), nginx.var(ctx, port)) end
end


-- The address of X-Forwarded-For that Envoy takes for the client's; nil where there is none.
local function forwarded_address(hop, ctx, nginx)
    local values = nginx.request_headers.get(ctx, "x-forwarded-for")
    if not values then
        return nil
    end
    local all = {}
    for one in (type(values) == "table" and concat(values, ",") or values):gmatch("[^,]+") do
        all[#all + 1] = one:match("^%s*(.-)%s*$")
    end
    local found = all[#all + 1 - hop]
    -- What is no address is not believed.
    return found and (found:find("^%d+%.%d+%.%d+%.%d+$") or found:find("^[%x:]*:%x*:[%x:.]*$")) and found
end

local function client(hop, name, read)
    return function(ctx, nginx)
        local found = forwarded_address(hop, ctx, nginx)
        if not found then
            return read(ctx, nginx)
        elseif name == "downstream_remote_address" then
            return with_port(found, "0")
        end
        return name == "downstream_remote_port" and "0" or found
    end
end


-- Without parameters.
local PLAIN = {
    downstream_direct_remote_address = address_and_port("realip_remote_addr", "realip_remote_port"),
    downstream_direct_remote_address_without_port = address("realip_remote_addr"),
    downstream_direct_remote_port = address("realip_remote_port"),
    downstream_remote_address = address_and_port("remote_addr", "remote_port"),
    downstream_remote_address_without_port = address("remote_addr"),
    downstream_remote_port = address("remote_port"),
    downstream_direct_local_address = address_and_port("server_addr", "server_port"),
    downstream_direct_local_address_without_port = address("server_addr"),
    downstream_direct_local_port = address("server_port"),
    downstream_local_address = function(ctx, nginx) return with_port(local_address(ctx, nginx)) end,
    downstream_local_address_without_port = function(ctx, nginx) return (local_address(ctx, nginx)) end,
    downstream_local_port = function(ctx, nginx) return (select(2, local_address(ctx, nginx))) end,
    downstream_peer_fingerprint_1 = address("ssl_client_fingerprint"),
    downstream_peer_issuer = address("ssl_client_i_dn"),
    downstream_peer_serial = function(ctx, nginx)
        local serial = nginx.var(ctx, "ssl_client_serial")
        return serial and serial:lower()
    end,
    downstream_peer_subject = address("ssl_client_s_dn"),
    downstream_tls_cipher = address("ssl_cipher"),
    downstream_tls_version = address("ssl_protocol"),
    hostname = address("hostname"),
    protocol = function(ctx, nginx)
        local protocol = nginx.var(ctx, "server_protocol")
        return protocol and (protocol:gsub("^(HTTP/[23])%.0$", "%1"))
    end,
    requested_server_name = address("ssl_server_name"),
    -- An answer without an upstream has no status yet when Envoy makes its headers.
    response_code = function(ctx, nginx) return nginx.var(ctx, "upstream_status") and nginx.status() or "0" end,
    upstream_host = function(ctx, nginx)
        -- Of several attempts the last one.
        local all = nginx.var(ctx, "upstream_addr")
        return all and all:match("([^%s,]+)$")
    end,
    upstream_cluster = function(ctx) return ctx.amesh_cluster end,
    upstream_cluster_raw = function(ctx) return ctx.amesh_cluster end,
}


local PSEUDO = {
    [":path"] = function(ctx, nginx) return nginx.path(ctx) end,
    [":method"] = address("request_method"),
    [":authority"] = function(ctx, nginx) return nginx.host(ctx) end,
    [":scheme"] = function(ctx, nginx)
        return nginx.request_header(ctx, "X-Forwarded-Proto") or nginx.var(ctx, "scheme")
    end,
}


local function request_header(name)
    return PSEUDO[name] or function(ctx, nginx) return nginx.request_header(ctx, name) end
end


local function response_header(name)
    if name == ":status" then
        return function(_, nginx) return nginx.status() end
    elseif name == "server" then
        -- APISIX has put its own there.
        return address("upstream_http_server")
    end
    return function(_, nginx) return nginx.response_header(name) end
end


-- How the conversions of a time are written; `at` is in seconds with a fraction.
local TIME = {
    s = function(at) return ("%d"):format(floor(at)) end,
    f = function(at) return ("%09d"):format(floor((at - floor(at)) * 1e3 + 0.5) * 1e6) end,
    T = function(at) return date("!%H:%M:%S", at) end,
    F = function(at) return date("!%Y-%m-%d", at) end,
    z = function() return "+0000" end,
    Z = function() return "UTC" end,
}

local function start_time(format)
    format = format or "%Y-%m-%dT%H:%M:%E3SZ"
    return function(ctx, nginx)
        local at = nginx.start_time(ctx)
        local fraction = TIME.f(at)
        local text = format:gsub("%%(%d)f", function(digits) return fraction:sub(1, digits) end)
        text = text:gsub("%%E(%d)S", function(digits)
            local tail = digits == "0" and "" or "." .. (fraction .. "0"):sub(1, digits)
            return date("!%S", at) .. tail
        end)
        text = text:gsub("%%(%a)", function(letter)
            local write = TIME[letter]
            return write and write(at) or date("!%" .. letter, floor(at))
        end)
        return text
    end
end


local function compile_command(command)
    local wrong = plugin.wrong(command, {
        command = "string", name = "string?", otherwise = "string?", hop = "number?", format = "string?", max = "number?",
    }, "command")
    if wrong then
        return nil, wrong
    end
    local name = command.command
    local read
    if name == "req" or name == "resp" then
        if not command.name then
            return nil, name .. ".name is missing"
        end
        local of = name == "req" and request_header or response_header
        read = of(command.name)
        if command.otherwise then
            local first, second = read, of(command.otherwise)
            read = function(ctx, nginx) return first(ctx, nginx) or second(ctx, nginx) end
        end
    elseif name == "start_time" then
        read = start_time(command.format)
    else
        read = PLAIN[name]
        if read and command.hop then
            read = client(command.hop, name, read)
        end
    end
    if not read then
        return nil, "command " .. name .. " is not known to this version"
    end
    local max = command.max
    if not max then
        return read
    end
    return function(ctx, nginx)
        local value = read(ctx, nginx)
        return value and value:sub(1, max)
    end
end


--- A function that makes the text for a request, from the context and the functions of `amesh.plugin.nginx`; or the text
-- itself where it is always the same; or nil and what is wrong.
function _M.compile(format)
    if type(format) == "string" then
        return format
    elseif type(format) ~= "table" then
        return nil, "a format must be a text or a list"
    end
    local parts, count = {}, #format
    for at, part in ipairs(format) do
        if type(part) == "string" then
            parts[at] = part
        else
            local read, err = compile_command(part)
            if not read then
                return nil, err
            end
            parts[at] = read
        end
    end
    if count == 1 and type(parts[1]) == "function" then
        local read = parts[1]
        return function(ctx, nginx) return read(ctx, nginx) or "" end
    end
    return function(ctx, nginx)
        local out = {}
        for at = 1, count do
            local part = parts[at]
            out[at] = type(part) == "string" and part or part(ctx, nginx) or ""
        end
        return concat(out)
    end
end


return _M
