--- Envoy's ORIGINAL_DST as a balancer of APISIX: the address that iptables redirected the client's connection from.
--
-- The nodes of the upstream stand for nothing: without at least two APISIX would not ask.

local servers_of = require("amesh.balancer.servers")

local tonumber = tonumber

local _M = {}


function _M.new(_, upstream)
    local port = upstream.key
    if port and not tonumber(port) then
        return nil, "amesh_original_dst needs a port as its key, or none"
    end

    return servers_of.picker(upstream, function(ctx)
        local var = ctx.var
        local address = var.connection_original_dst
        if not address or address == "" then
            return nil, "the client's connection was not redirected"
        elseif address == var.server_addr .. ":" .. var.server_port then
            return nil, "the client's connection was meant for APISIX itself"
        end
        return port and (address:gsub("%d+$", port)) or address
    end)
end


return _M
