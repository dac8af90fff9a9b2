--- Random tables of routes, and requests that are drawn from their own words.
--
-- `mesh` tables have the form in which Amesh writes routes: scopes that share hosts, priorities that descend, and a
-- last route that takes everything. `other` tables are what anybody might write.

local _M = {}

local random = math.random

local function one(list)
    return list[random(#list)]
end

--- One or two of a list, never one twice.
local function some(list)
    local a, b = one(list), one(list)
    return a == b and {a} or {a, b}
end

local HOSTS = {"a.com", "b.a.com", "c.b.a.com", "*.a.com", "*.b.a.com", "*a.com", "x-a.com", "*.com", "org", "*.org",
    "1.2.3.4"}
local NAMES = {"a.com", "b.a.com", "c.b.a.com", "d.c.b.a.com", "z.a.com", "xa.com", "x-a.com", ".a.com", "com",
    "q.com", "org", "1.2.3.4", "net"}
local PATHS = {"/", "/a", "/a/", "/a/b", "/ab", "/a/b/c", "/b", "/b/a", "/a.b", "/a-b_c~d", "/%", "/a b", "/A"}
local PORTS = {"80", "8080", "9080"}
local METHODS = {"GET", "POST", "PUT", "HEAD"}
local VALUES = {"", "a", "b", "ab", "5", "10", "a,b"}
local ADDRESSES = {"127.0.0.1", "10.0.0.7", "10.1.2.3"}

--- Makes tables and requests for other ports.
function _M.use_ports(ports)
    for index, port in ipairs(ports) do
        PORTS[index] = tostring(port)
    end
end

local PATH_CONDITIONS = {
    {"uri", "==", "/a"}, {"uri", "==", "/a/b"}, {"uri", "==", "/b"}, {"uri", "!", "==", "/a"},
    {"uri", "~~", "^/a"}, {"uri", "~~", "^/a/"}, {"uri", "~~", "^/b(?:/|\\z)"}, {"uri", "~~", "^(?:/a/[^/]+)\\z"},
    {"uri", "~~", "^(?:/a|/b)\\z"}, {"uri", "~~", "^/(?:a|b)(?:/.*)?\\z"}, {"uri", "~~", "b\\z"},
    {"uri", "~~", "^/a[/b]"}, {"uri", "~~", "^/a/b+"}, {"uri", "~*", "^/A/"}, {"uri", "in", {"/a", "/b/a"}},
}

-- What paths are read from.
local READ = {"uri"}

--- Makes conditions and requests that read paths from more than nginx's `uri`.
function _M.use_variables(names)
    READ = names
end

local function path_condition(read)
    local condition = {}
    for index, part in ipairs(one(PATH_CONDITIONS)) do
        condition[index] = part
    end
    condition[1] = read
    return condition
end

local CONDITIONS = {
    {"http_x_a", "==", "a"}, {"http_x_a", "~~", ".*"}, {"http_x_a", "!", "~~", ".*"}, {"http_x_a", "~~", "^a"},
    {"http_x_b", "~~", "b\\z"}, {"http_x_b", ">=", 5}, {"http_x_b", "!", "==", "ab"}, {"request_method", "==", "GET"},
    {"http_x_a", "~*", "^A"},
    {"OR", {"http_x_a", "==", "a"}, {"http_x_b", "==", "b"}},
    {"!AND", {"http_x_a", "~~", ".*"}, {"http_x_b", "~~", ".*"}},
    {{"http_x_a", "~~", "."}, {"http_x_b", "~~", "."}},
    {"AND", {"http_x_a", "==", "a"}, {"!OR", {"http_x_b", "==", "a"}, {"http_x_b", "==", "5"}}},
}

local function answer(id)
    return {["fault-injection"] = {abort = {http_status = 200, body = id}}}
end

local function conditions(list, most)
    for _ = 1, random(0, most) do
        list[#list + 1] = one(CONDITIONS)
    end
    return list
end

--- The routes of one virtual host in a scope. Some have their paths as patterns, where the order of the routes allows
-- it.
local function virtual_host(routes, hosts, common, band)
    local function push(uri, priority, own)
        local vars = {}
        for _, list in ipairs({common, own}) do
            for _, each in ipairs(list) do
                vars[#vars + 1] = each
            end
        end
        local id = "r" .. #routes + 1
        routes[#routes + 1] = {id = id, uri = uri, hosts = hosts, priority = band + priority, vars = vars,
            plugins = answer(id)}
    end
    if hosts and random(3) == 1 then
        push("/a/b", 5, conditions({}, 2))
        push("/a", 4, conditions({}, 1))
        push("/a/*", 3, conditions({}, 1))
        push("/b*", 2, conditions({}, 1))
        push("/*", 1, {})
        return 5
    end
    local count = random(0, random(8) == 1 and 30 or 5)
    -- A listener has one, and routes that others wrote may be beside it.
    local read = one(READ)
    for index = 1, count do
        local own = random(5) > 1 and {path_condition(random(8) == 1 and one(READ) or read)} or {}
        push("/*", count + 2 - index, conditions(own, random(2) - 1))
    end
    push("/*", 1, {})
    return count + 2
end

function _M.mesh()
    local routes = {}
    for _, port in ipairs(PORTS) do
        if random(3) > 1 then
            local scope = {{"server_port", "==", port}}
            if random(4) == 1 then
                scope[2] = {"OR", {"http_x_b", "==", "b"}, {"http_x_b", "!", "~~", ".*"}}
            end
            local left = {}
            for _, host in ipairs(HOSTS) do
                if random(3) == 1 then
                    left[#left + 1] = host
                end
            end
            while #left > 0 do
                local hosts = {}
                for index = 1, math.min(#left, random(3)) do
                    hosts[index] = table.remove(left, random(#left))
                end
                virtual_host(routes, hosts, scope, 0)
            end
            local band = 0
            if random(2) == 1 then
                band = virtual_host(routes, nil, scope, 0)
            end
            if random(3) == 1 then
                local prefix = {scope[1], {"http_host", "~*", "^b\\.."}}
                virtual_host(routes, nil, prefix, band)
            end
        end
    end
    -- The order in which they come does not matter: priorities say all.
    for at = #routes, 2, -1 do
        local other = random(at)
        routes[at], routes[other] = routes[other], routes[at]
    end
    return routes
end

local PATTERNS = {
    "/", "/*", "/a", "/a*", "/a/*", "/a/b", "/a/b*", "/a/*/c", "/b/*", "/*/b", "/a.b/*", "/a+/*", "/:id/*", "/a/:id",
        "/a/b/*rest", "/ab*x", "/*x",
    "/a/*/b/*",
}

function _M.other()
    local routes = {}
    for at = 1, random(0, random(4) == 1 and 40 or 8) do
        local id = "r" .. at
        local route = {id = id, plugins = answer(id)}
        if random(4) == 1 then
            route.uris = some(PATTERNS)
        else
            route.uri = one(PATTERNS)
        end
        local hosts = random(5)
        if hosts == 1 then
            route.host = one(HOSTS)
        elseif hosts <= 3 then
            route.hosts = some(HOSTS)
        end
        route.priority = random(3) > 1 and random(0, 2) or nil
        route.status = random(12) == 1 and 0 or nil
        route.methods = random(5) == 1 and some(METHODS) or nil
        route.remote_addrs = random(8) == 1 and {"10.0.0.0/16", "127.0.0.1"} or nil
        if random(2) == 1 then
            local own = random(3) > 1 and {path_condition(one(READ))} or {}
            route.vars = conditions(own, 2)
        end
        if random(15) == 1 then
            route.filter_func = "function(vars, opts, api_ctx) return vars.http_x_a == 'a' and api_ctx.var == vars end"
        end
        routes[at] = route
    end
    return routes
end

--- The variables of a request.
local function path()
    local text = one(PATHS)
    if random(2) == 1 then
        text = text .. one({"", "/", "b", "/b", "/c", "/a/b", "x", "\n"})
    end
    return (text:gsub("//", "/"))
end

function _M.request()
    local host = one(NAMES)
    local request = {
        host = host, http_host = random(3) == 1 and host .. ":8080" or host, server_port = one(PORTS),
        request_method = one(METHODS), remote_addr = one(ADDRESSES), http_x_a = random(2) == 1 and one(VALUES) or nil,
        http_x_b = random(2) == 1 and one(VALUES) or nil,
    }
    for _, name in ipairs(READ) do
        request[name] = path()
    end
    return request
end

return _M
