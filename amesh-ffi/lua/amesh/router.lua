--- The router of Amesh for APISIX: which route takes a request.
--
-- It reads the same `/routes` as APISIX's own `radixtree_host_uri` and gives the same answer: the most specific host
-- first (exact, longest wildcard, none), there the most specific path pattern, then the highest `priority`, then the
-- route that came first, and on to what is less specific where no route takes the request. Routes of Amesh are
-- written so that this is Envoy's answer: each virtual host ends in a route that takes everything that arrived where
-- it applies, so what is less specific is never reached through one. Routes that others wrote, which have no such
-- end, are served as APISIX would.
--
-- What is different is the work. A host, an exact path and the beginning of a path are found by hash and not by
-- trying, each condition is asked once in a request, and a change touches the lists of the hosts that it names: each
-- is replaced in one step, so a request sees it as it was or as it is.
--
-- Changes come from a provider that tells them (`subscribe`), or, with any other, from comparing the items when
-- `conf_version` moves: a provider that keeps the tables of what did not change makes that cheap too.
--
-- Not here: the `ai` plugin, which replaces the matching of APISIX's own routers.

local entry = require("amesh.router.entry")
local hosts = require("amesh.router.hosts")

local ipairs, pairs, pcall, tostring, type = ipairs, pairs, pcall, tostring, type

local _M = {}

-- The hosts of a route that has none.
local ANY = {true}

--- A router as APISIX wants it: a table of functions.
--
-- `tools` are its collaborators:
--   http_route         `apisix.http.route`: makes the object of `/routes`
--   service, services  functions of `apisix.http.service`: one service, and all of them with their version
--   tablepool          `core.tablepool`
--   log_error          a function of a text
--   expr, ipmatcher    `resty.expr.v1` and `resty.ipmatcher`
--   re_find, re_match  of `ngx.re`
--   load               `loadstring`
--   idle               true in a process that serves no requests: it builds nothing before it has to
function _M.new(tools)
    local router = {user_routes = nil}
    local entries_of = entry.new(tools)
    local table_of_hosts = hosts.new()
    -- What is known of each item, and of those whose hosts are their service's.
    local records, by_service, dependents = {}, {}, 0
    local next_place = 1
    local built, followed, version, service_version = false, false, nil, nil
    local number = 0

    local function hosts_of(route)
        if route.hosts then
            return route.hosts
        elseif route.host then
            return {route.host}
        elseif route.service_id then
            local service = tools.service(route.service_id)
            if service then
                return service.value.hosts or ANY
            end
            tools.log_error("route " .. route.id .. ": no service " .. route.service_id)
        end
        return ANY
    end

    local function change_of(changes, host)
        local change = changes[host]
        if not change then
            change = {added = {}, removed = {}}
            changes[host] = change
        end
        return change
    end

    local function place(record, changes)
        for _, host in ipairs(record.hosts or {}) do
            local added = change_of(changes, host).added
            for _, one in ipairs(record.entries) do
                added[one] = true
            end
        end
    end

    local function displace(record, changes)
        for _, host in ipairs(record.hosts or {}) do
            local change = change_of(changes, host)
            for _, one in ipairs(record.entries) do
                change.added[one] = nil
                change.removed[one] = true
            end
        end
    end

    local function read(item)
        local route = item.value
        if not route or (route.status and route.status ~= 1) then
            -- It is kept for requests under way, and takes no new ones.
            return {}
        end
        -- One that cannot be read must not keep the others from being served.
        local fine, entries, err = pcall(entries_of, item)
        if not fine or not entries then
            tools.log_error("route " .. route.id .. " is left out: " .. (err or tostring(entries)))
            return {}
        end
        return entries
    end

    --- Adds an item to what is known; `at` is its place among those that are equal in all else.
    local function add(item, at, changes)
        local record = {item = item, entries = read(item), place = at, version = item.modifiedIndex}
        records[item] = record
        if #record.entries == 0 then
            return
        end
        for _, one in ipairs(record.entries) do
            one.record = record
        end
        local route = item.value
        record.hosts = hosts_of(route)
        if route.service_id and not route.hosts and not route.host then
            by_service[record] = true
            dependents = dependents + 1
        end
        place(record, changes)
    end

    local function drop(item, changes)
        local record = records[item]
        if record then
            records[item] = nil
            if by_service[record] then
                by_service[record] = nil
                dependents = dependents - 1
            end
            displace(record, changes)
        end
        return record
    end

    --- Makes what is known equal to a list of items, touching only what is not.
    local function sync(items)
        local changes, seen = {}, {}
        for at, item in ipairs(items or {}) do
            if type(item) == "table" then
                seen[item] = true
                local record = records[item]
                if record and record.version == item.modifiedIndex then
                    record.place = at
                else
                    drop(item, changes)
                    add(item, at, changes)
                end
            end
            next_place = at + 1
        end
        for item in pairs(records) do
            if not seen[item] then
                drop(item, changes)
            end
        end
        hosts.change(table_of_hosts, changes)
        built = true
    end

    --- Applies a list of `{old = item or nil, new = item or nil}`.
    local function apply(list)
        if not built then
            -- Everything will be read when it is built.
            return
        end
        -- Should this fail half-way, the next request builds everything anew.
        built = false
        local changes = {}
        for _, change in ipairs(list) do
            local record = change.old and drop(change.old, changes)
            if change.new then
                -- One that is known already has changed in place.
                record = drop(change.new, changes) or record
                add(change.new, record and record.place or next_place, changes)
                if not record then
                    next_place = next_place + 1
                end
            end
        end
        hosts.change(table_of_hosts, changes)
        built = true
    end

    --- Moves routes whose hosts are their service's, when services have changed.
    local function follow_services()
        if dependents == 0 then
            return
        end
        local _, now = tools.services()
        if now == service_version then
            return
        end
        local changes = {}
        for record in pairs(by_service) do
            displace(record, changes)
            record.hosts = hosts_of(record.item.value)
            place(record, changes)
        end
        hosts.change(table_of_hosts, changes)
        service_version = now
    end

    function router.init_worker(filter)
        local routes = tools.http_route.init_worker(filter)
        router.user_routes = routes
        followed = type(routes.subscribe) == "function"
        if followed then
            routes:subscribe(apply)
        end
        if not tools.idle then
            sync(routes.values)
            version = routes.conf_version
        end
    end

    function router.routes()
        local routes = router.user_routes
        if not routes then
            return nil, nil
        end
        return routes.values, routes.conf_version
    end

    function router.match(api_ctx)
        local routes = router.user_routes
        if not built then
            records, by_service, dependents, table_of_hosts = {}, {}, 0, hosts.new()
        end
        if not built or (not followed and version ~= routes.conf_version) then
            sync(routes.values)
            version = routes.conf_version
        end
        follow_services()

        number = number + 1
        local vars = api_ctx.var
        local uri = vars.uri
        local found, host = hosts.first(table_of_hosts, vars.host, uri, number, api_ctx, tools)
        if not found then
            return nil
        end
        local matched = tools.tablepool.fetch("matched_route_record", 0, 4)
        entry.note(found, uri, matched, tools)
        matched._host = host
        matched._method = vars.request_method
        api_ctx.matched_params = nil
        api_ctx.matched_route = found.item
        api_ctx.curr_req_matched = matched
        return true
    end

    return router
end

return _M
