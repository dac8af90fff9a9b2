--- Envoy's slow start: the share of a new server grows over some time.
--
-- A server is new from when this worker first balances to it. What APISIX has a balancer for is all that is known of
-- an upstream: it asks none while there is one server, so the first two are new together.

local servers_of = require("amesh.balancer.servers")

local ipairs = ipairs
local max = math.max
local pairs = pairs
local tonumber = tonumber

local seen_of = servers_of.memory()

local _M = {
    -- A function that gives the time in seconds. Tests have their own.
    now = ngx and ngx.now,
}


--- Settings from a text: the time in milliseconds, the least share in hundredths, and the aggression; all nil for an empty
-- text, and nothing for any other.
function _M.settings(text)
    if text == "" then
        return {}
    end
    local window, least, aggression = text:match("^ ?(%d+) ([%d.]+) ([%d.]+)$")
    window, least, aggression = tonumber(window), tonumber(least), tonumber(aggression)
    if not (window and window > 0 and least and aggression and aggression > 0) then
        return nil
    end
    return {window = window / 1000, least = least / 100, power = 1 / aggression}
end


--- A function of a server that gives the share of its weight that it gets now, and whether any server gets less than all.
-- Nil where the settings are empty.
function _M.of(settings, servers, upstream, priority)
    local window, least, power = settings.window, settings.least, settings.power
    if not window then
        return nil, false
    end
    local now = _M.now
    local seen, here, warming = seen_of(upstream, priority), {}, false
    local first = now()
    for _, server in ipairs(servers) do
        here[server] = true
        seen[server] = seen[server] or first
        warming = warming or first - seen[server] < window
    end
    for server in pairs(seen) do
        seen[server] = here[server] and seen[server] or nil
    end
    return function(server)
        local age = now() - (seen[server] or first)
        if age >= window then
            return 1
        end
        return max((max(age, 0.001) / window) ^ power, least)
    end, warming
end


return _M
