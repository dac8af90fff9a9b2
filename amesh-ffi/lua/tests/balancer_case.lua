--- Requests to a balancer, as APISIX sends them.

local _M = {}


--- Sends requests one at a time; gives how many each server got.
function _M.sent(made, times)
    local seen = {}
    for _ = 1, times do
        local ctx = {}
        ctx.balancer_server = made.get(ctx)
        seen[ctx.balancer_server] = (seen[ctx.balancer_server] or 0) + 1
        made.after_balance(ctx, false)
    end
    return seen
end


--- Tries one request as often as there are servers, and once more: each gets it once, and then one of them again.
function _M.comes_back(made, count)
    local ctx, seen, different = {}, {}, 0
    for _ = 1, count do
        ctx.balancer_server = made.get(ctx)
        different = different + (seen[ctx.balancer_server] and 0 or 1)
        seen[ctx.balancer_server] = true
        made.after_balance(ctx, true)
    end
    assert(different == count, different)
    assert(seen[made.get(ctx)])
    assert(ctx.amesh_tried == nil)
end


return _M
