--- Which route takes a request.

local support = require("router.support")

local function routes_of(list, more)
    for index, route in ipairs(list) do
        route.id = route.id or "r" .. index
    end
    local made = support.router({values = support.items(list), conf_version = 1}, more)
    return function(host, uri, vars)
        vars = vars or {}
        vars.host, vars.uri = host, uri
        return support.ask(made, vars)
    end
end

return function(t)
    t.test("the most specific host, then the next, then any", function()
        local ask = routes_of({
            {id = "any", uri = "/*"},
            {id = "com", uri = "/*", hosts = {"*.com"}},
            {id = "a", uri = "/*", hosts = {"*.a.com"}},
            {id = "b", uri = "/only", hosts = {"b.a.com"}},
        })
        t.equal("b", (ask("b.a.com", "/only")))
        t.equal("a", (ask("b.a.com", "/other")))
        t.equal("a", (ask("x.y.a.com", "/")))
        t.equal("com", (ask("a.com", "/")))
        t.equal("any", (ask("com", "/")))
        t.equal("any", (ask(nil, "/")))
    end)

    t.test("a virtual host that ends in a guard is not left, and one of another scope is passed over", function()
        local function scoped(id, port, hosts, priority, more)
            local vars = {{"server_port", "==", port}}
            vars[2] = more
            return {id = id, uri = "/*", hosts = hosts, priority = priority, vars = vars}
        end
        local ask = routes_of({
            scoped("exact", "80", {"a.com"}, 2, {"uri", "==", "/x"}),
            scoped("guard", "80", {"a.com"}, 1),
            scoped("wild80", "80", {"*.com"}, 1),
            scoped("wild81", "81", {"*.com"}, 1),
        })
        t.equal("exact", (ask("a.com", "/x", {server_port = "80"})))
        t.equal("guard", (ask("a.com", "/y", {server_port = "80"})))
        t.equal("wild81", (ask("a.com", "/x", {server_port = "81"})))
        t.equal(nil, (ask("a.com", "/x", {server_port = "82"})))
    end)

    t.test("exact paths, long prefixes, short ones; priority among equals, then who came first", function()
        local ask = routes_of({
            {id = "all", uri = "/*", priority = 9}, {id = "short", uri = "/a*", priority = 8}, {id = "long",
                uri = "/a/b*"},
            {id = "later", uri = "/a/b*"}, {id = "first", uri = "/a/b*", priority = 1, methods = {"PUT"}},
                {id = "exact", uri = "/a/b/c"},
            {id = "off", uri = "/a/b/c/d", status = 0}, {id = "two", uris = {"/x", "/y/*"}},
        })
        t.equal("exact", (ask("h", "/a/b/c", {request_method = "GET"})))
        t.equal("long", (ask("h", "/a/b/c/d", {request_method = "GET"})))
        t.equal("first", (ask("h", "/a/b/c/d", {request_method = "PUT"})))
        t.equal("short", (ask("h", "/a/c", {request_method = "GET"})))
        t.equal("all", (ask("h", "/c", {request_method = "GET"})))
        t.equal("two", (ask("h", "/y/1", {request_method = "GET"})))
    end)

    t.test("in a long list too, conditions on the path decide in the order of priorities", function()
        local list = {}
        for index = 1, 500 do
            list[index] = {id = "p" .. index, uri = "/*", priority = 1000 - index, hosts = {"a.com"}, vars = {{"uri",
                "~~", "^(?:/p" .. index .. "/[0-9]+)\\z"}}}
        end
        list[501] = {id = "guard", uri = "/*", hosts = {"a.com"}, priority = 1}
        list[502] = {id = "above", uri = "/*", hosts = {"a.com"}, priority = 900, vars = {{"http_x", "==", "1"}}}
        list[503] = {id = "equal", uri = "/*", hosts = {"a.com"}, priority = 601, vars = {{"uri", "==", "/p400/7"}}}
        list[504] = {id = "longer", uri = "/*", hosts = {"a.com"}, priority = 2, vars = {{"uri", "~~", "^/p4"}}}
        local ask = routes_of(list)
        t.equal("p500", (ask("a.com", "/p500/7")))
        t.equal("above", (ask("a.com", "/p500/7", {http_x = "1"})))
        t.equal("p50", (ask("a.com", "/p50/7", {http_x = "1"})))
        t.equal("equal", (ask("a.com", "/p400/7")))
        t.equal("p400", (ask("a.com", "/p400/8")))
        t.equal("longer", (ask("a.com", "/p400/x")))
        t.equal("guard", (ask("a.com", "/q")))
    end)

    t.test("APISIX's record says by what it was found", function()
        local ask = routes_of({{uri = "/a/*", hosts = {"*.a.com"}}, {uri = "/b", hosts = {"b"}},
            {uri = "/:id/c/*rest"}})
        local function record(host, uri)
            local _, found = ask(host, uri, {request_method = "GET"})
            return found
        end
        t.equal({_path = "/a/*", _host = "*.a.com", _method = "GET", [":ext"] = "x/y"}, record("b.a.com", "/a/x/y"))
        t.equal({_path = "/b", _host = "b", _method = "GET"}, record("b", "/b"))
        t.equal({_path = "/:id/c/*rest", _method = "GET", id = ":id", rest = "x"}, record("c", "/:id/c/x"))
    end)

    t.test("a route that cannot be read is left out alone", function()
        local said
        local ask = routes_of({{id = "bad", uri = "/*", vars = {{"uri", "=", "/"}}}, {id = "worse", uri = "/*",
            filter_func = "nil + 1"}, {id = "good", uri = "/*"}},
            {log_error = function(text)
                said = (said or "") .. text
            end})
        t.equal("good", (ask("h", "/")))
        t.equal(true, said:find("bad", 1, true) ~= nil and said:find("worse", 1, true) ~= nil)
    end)

    t.test("a route of a service takes the service's hosts, when they change too", function()
        local hosts, version = {"s.com"}, 1
        local ask = routes_of({{id = "s", uri = "/*", service_id = "1"}, {id = "any", uri = "/*", priority = -1}}, {
            service = function()
                return {value = {hosts = hosts}}
            end,
            services = function()
                return nil, version
            end,
        })
        t.equal("s", (ask("s.com", "/")))
        t.equal("any", (ask("t.com", "/")))
        hosts, version = {"t.com"}, 2
        t.equal("any", (ask("s.com", "/")))
        t.equal("s", (ask("t.com", "/")))
    end)
end
