--- Envoy's RANDOM as a balancer of APISIX: a node drawn for each request.
--
-- Weights are those of localities; without them all are equal. A further try draws among the nodes that were not tried.

local ipairs = ipairs
local math_random = math.random
local pairs = pairs
local table_sort = table.sort

local _M = {}


-- The nodes, and for each the sum of the weights up to it; no sums where all weights are equal.
local function summed(up_nodes)
    local servers, sums, total, even = {}, {}, 0, true
    for server in pairs(up_nodes) do
        servers[#servers + 1] = server
    end
    table_sort(servers)
    for index, server in ipairs(servers) do
        even = even and up_nodes[server] == up_nodes[servers[1]]
        total = total + up_nodes[server]
        sums[index] = total
    end
    return servers, total > 0 and not even and sums or nil
end


local function draw(servers, sums)
    if not sums then
        return servers[math_random(#servers)]
    end
    local wanted = math_random() * sums[#sums]
    local first, last = 1, #sums
    while first < last do
        local middle = (first + last - (first + last) % 2) / 2
        if sums[middle] > wanted then
            last = middle
        else
            first = middle + 1
        end
    end
    return servers[first]
end


local function draw_other(up_nodes, tried)
    local others = {}
    for server, weight in pairs(up_nodes) do
        if not tried[server] then
            others[server] = weight
        end
    end
    local servers, sums = summed(others)
    if #servers == 0 then
        return nil, "all upstream servers tried"
    end
    return draw(servers, sums)
end


function _M.new(up_nodes, upstream)
    local servers, sums = summed(up_nodes)
    local picker = {upstream = upstream}

    function picker.get(ctx)
        if ctx.amesh_tried then
            return draw_other(up_nodes, ctx.amesh_tried)
        end
        return draw(servers, sums)
    end

    function picker.after_balance(ctx, before_retry)
        local server = ctx.balancer_server
        ctx.balancer_server = nil
        if before_retry and server then
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
