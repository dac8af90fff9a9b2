--- Envoy's ORIGINAL_DST as a balancer of APISIX: the address that iptables redirected the client's connection from.
--
-- The nodes of the upstream stand for nothing: without at least two APISIX would not ask.

local servers_of = require("amesh.balancer.servers")

local tonumber = tonumber

local _M = {
    -- Answers a request with a status: APISIX would answer 502 where no server is chosen, and Envoy says 503. Tests have
    -- their own.
    exit = ngx and ngx.exit,
}


function _M.new(_, upstream)
    local port = upstream.key
    if port and not tonumber(port) then
        return nil, "amesh_original_dst needs a port as its key, or none"
    end

    return servers_of.picker(upstream, function(ctx)
        local var = ctx.var
        local address = var.connection_original_dst
        -- It was not redirected, or it was meant for APISIX itself.
        if not address or address == "" or address == var.server_addr .. ":" .. var.server_port then
            return _M.exit(503)
        end
        return port and (address:gsub("%d+$", port)) or address
    end)
end


return _M
