--- Envoy's LEAST_REQUEST as a balancer of APISIX.
--
-- Where all weights are equal, some nodes are drawn and the one with the fewest requests in flight is taken. Where they
-- differ the nodes come in turn by their weights, each the later the more requests it has in flight. What is in flight is
-- what this worker has sent.

local turn = require("amesh.balancer.turn")

local ipairs = ipairs
local math_random = math.random
local pairs = pairs
local setmetatable = setmetatable
local table_sort = table.sort
local tonumber = tonumber

local _M = {}

-- Requests in flight by server, for each upstream and priority. APISIX makes a new balancer with every change of nodes or of
-- their health, and requests end in the one that sent them; while either is there, so are the numbers.
local counts = setmetatable({}, {__mode = "v"})


local function counted(upstream, priority)
    local key = upstream.resource_key and upstream.resource_key .. "#" .. (priority or 0)
    local found = key and counts[key]
    if not found then
        found = {}
        if key then
            counts[key] = found
        end
    end
    return found
end


local function settings(text)
    local choices, bias = (text or ""):match("^(%d+) ([%d.]+)$")
    choices, bias = tonumber(choices), tonumber(bias)
    if not choices or choices < 1 or not bias then
        return nil, "amesh_least_request needs a key such as '2 1'"
    end
    return choices, bias
end


local function others(servers, tried)
    local left = {}
    for _, server in ipairs(servers) do
        if not tried[server] then
            left[#left + 1] = server
        end
    end
    return left
end


local function draw(servers, choices, active)
    local chosen = servers[math_random(#servers)]
    for _ = 2, choices do
        local other = servers[math_random(#servers)]
        if (active[other] or 0) < (active[chosen] or 0) then
            chosen = other
        end
    end
    return chosen
end


function _M.new(up_nodes, upstream, priority)
    local choices, bias = settings(upstream.key)
    if not choices then
        return nil, bias
    end
    local active = counted(upstream, priority)
    local servers, even = {}, true
    for server in pairs(up_nodes) do
        servers[#servers + 1] = server
    end
    table_sort(servers)
    for _, server in ipairs(servers) do
        even = even and up_nodes[server] == up_nodes[servers[1]]
    end

    local turns = not even and turn.of(servers, function(server)
        local weight = up_nodes[server]
        return (weight > 0 and weight or 1) / ((active[server] or 0) + 1) ^ bias
    end)
    local picker = {upstream = upstream}

    function picker.get(ctx)
        local tried = ctx.amesh_tried
        local left = tried and others(servers, tried) or servers
        if #left == 0 then
            return nil, "all upstream servers tried"
        end
        local server
        if turns then
            repeat
                server = turns:next()
            until not tried or not tried[server]
        else
            server = draw(left, choices, active)
        end
        active[server] = (active[server] or 0) + 1
        return server
    end

    function picker.after_balance(ctx, before_retry)
        local server = ctx.balancer_server
        ctx.balancer_server = nil
        if not server then
            return
        end
        local left = (active[server] or 0) - 1
        active[server] = left > 0 and left or nil
        if before_retry then
            ctx.amesh_tried = ctx.amesh_tried or {}
            ctx.amesh_tried[server] = true
        end
    end

    function picker.before_retry_next_priority(ctx)
        ctx.amesh_tried = nil
    end

    return picker
end


return _M
