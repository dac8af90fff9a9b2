--- A router with collaborators that need no APISIX.

local pcre = require("router.pcre")
local router = require("amesh.router")

local _M = {}

--- Addresses by text: a CIDR of whole bytes is a beginning.
local ipmatcher = {new = function(list)
    return {match = function(_, address)
        for _, each in ipairs(list) do
            local network = each:match("^(%d+%.%d+%.)0%.0/16$")
            if each == address or (network and address:sub(1, #network) == network) then
                return true
            end
        end
        return false
    end}
end}

--- A router over a provider. `provider` has `values` and `conf_version`, and `subscribe` or not.
function _M.router(provider, more)
    local tools = {
        http_route = {init_worker = function()
            return provider
        end},
        service = function()
            return nil
        end,
        services = function()
            return nil, 1
        end,
        tablepool = {fetch = function()
            return {}
        end},
        log_error = function(text)
            error(text)
        end,
        expr = {new = function()
            return nil, "no lua-resty-expr here"
        end},
        ipmatcher = ipmatcher, re_find = pcre.find, re_match = pcre.match, load = loadstring,
    }
    for name, tool in pairs(more or {}) do
        tools[name] = tool
    end
    local made = router.new(tools)
    made.init_worker()
    return made
end

function _M.items(routes)
    local items = {}
    for index, route in ipairs(routes) do
        items[index] = {key = "/routes/" .. route.id, value = route, modifiedIndex = 1}
    end
    return items
end

--- The id of the route that takes a request, and APISIX's record of the match.
function _M.ask(made, vars)
    local ctx = {var = vars}
    made.match(ctx)
    return ctx.matched_route and ctx.matched_route.value.id, ctx.curr_req_matched
end

return _M
