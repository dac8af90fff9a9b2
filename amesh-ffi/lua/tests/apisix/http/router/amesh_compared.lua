--- A router for tests, which asks Amesh's router and APISIX's own about every request, and tells where they differ.
--
-- The header `x-router-differs` of an answer says how; `x-router-route` names the route. A request for `/_random` makes
-- it compare the two on random tables and requests, and answers with what it found.

local core = require("apisix.core")
local ours = require("apisix.http.router.amesh")
local router = require("amesh.router")
local service = require("apisix.http.service")
local stock = require("apisix.http.router.radixtree_host_uri")
local tables = require("router.tables")

-- Another one, whose routes are made up.
package.loaded["apisix.http.router.radixtree_host_uri"] = nil
local stock_alone = require("apisix.http.router.radixtree_host_uri")

local _M = {}

local function text(value)
    if type(value) ~= "table" then
        return tostring(value)
    end
    local parts = {}
    for key, one in pairs(value) do
        parts[#parts + 1] = tostring(key) .. "=" .. text(one)
    end
    table.sort(parts)
    return "{" .. table.concat(parts, ", ") .. "}"
end

--- What a router says about a context: the route and the record of the match.
local function said(one, ctx)
    ctx.matched_route, ctx.curr_req_matched, ctx.real_curr_req_matched_path = nil, nil, nil
    one.match(ctx)
    local route = ctx.matched_route
    return route and route.value.id .. " " .. text(ctx.curr_req_matched) or "none", route
end

local function random_tables(rounds)
    local counts = {requests = 0, taken = 0, tables = rounds}
    local provider = {values = {}, conf_version = 0}
    function provider.subscribe(self, told)
        self.told = told
    end
    local followed = router.new({
        http_route = {init_worker = function()
            return provider
        end},
        service = service.get, services = service.services, tablepool = core.tablepool, log_error = error,
        expr = require("resty.expr.v1"), ipmatcher = require("resty.ipmatcher"),
        re_find = ngx.re.find, re_match = ngx.re.match, load = loadstring,
    })
    followed.init_worker()
    stock_alone.user_routes = provider
    for round = 1, rounds do
        math.randomseed(round)
        local routes = round % 2 == 0 and tables.mesh() or tables.other()
        local changes, items = {}, {}
        for index = 1, math.max(#routes, #provider.values) do
            items[index] = routes[index] and {value = routes[index], modifiedIndex = round}
            changes[index] = {old = provider.values[index], new = items[index]}
        end
        provider.values, provider.conf_version = items, round
        provider.told(changes)
        for _ = 1, 40 do
            local vars = tables.request()
            local theirs, route = said(stock_alone, {var = vars})
            local own = said(followed, {var = vars})
            counts.requests = counts.requests + 1
            counts.taken = counts.taken + (route and 1 or 0)
            if theirs ~= own then
                counts.differs = text(vars) .. "\n" .. text(routes) .. "\nAPISIX: " .. theirs .. "\nAmesh: " .. own
                return counts
            end
        end
    end
    return counts
end

function _M.init_worker(filter)
    ours.init_worker(filter)
    stock.user_routes = ours.user_routes
    _M.user_routes = ours.user_routes
end

function _M.match(ctx)
    if ctx.var.uri == "/_random" then
        core.response.exit(200, random_tables(tonumber(ctx.var.arg_tables)))
    end
    local theirs = said(stock, ctx)
    local own, route = said(ours, ctx)
    if theirs ~= own then
        core.response.set_header("x-router-differs", "APISIX: " .. theirs .. " Amesh: " .. own)
    end
    core.response.set_header("x-router-route", route and route.value.id or "none")
    return route ~= nil
end

return _M
