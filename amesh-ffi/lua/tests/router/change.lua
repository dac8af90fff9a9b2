--- Changes: by a provider that tells them, and by one that does not.

local support = require("router.support")

local function provider(routes)
    local made = {values = support.items(routes), conf_version = 1, told = nil}
    function made:subscribe(told)
        self.told = told
    end
    return made
end

return function(t)
    t.test("told changes are in force at once, and what did not change stays", function()
        local from = provider({{id = "a", uri = "/*", hosts = {"a"}}, {id = "b", uri = "/*", hosts = {"b"}}})
        local made = support.router(from)
        t.equal("a", (support.ask(made, {host = "a", uri = "/"})))
        local moved = {value = {id = "a2", uri = "/*", hosts = {"c"}}, modifiedIndex = 2}
        local late = {value = {id = "late", uri = "/*", hosts = {"*.d"}}, modifiedIndex = 2}
        from.told({{old = from.values[1], new = moved}, {new = late}})
        t.equal(nil, (support.ask(made, {host = "a", uri = "/"})))
        t.equal("b", (support.ask(made, {host = "b", uri = "/"})))
        t.equal("a2", (support.ask(made, {host = "c", uri = "/"})))
        t.equal("late", (support.ask(made, {host = "x.d", uri = "/"})))
        from.told({{old = late}, {old = moved, new = {value = {id = "off", uri = "/*", hosts = {"c"}, status = 0}}}})
        t.equal(nil, (support.ask(made, {host = "x.d", uri = "/"})))
        t.equal(nil, (support.ask(made, {host = "c", uri = "/"})))
    end)

    t.test("a route that replaces another takes its place among equals; a new one comes last", function()
        local from = provider({{id = "a", uri = "/*"}, {id = "b", uri = "/*"}})
        local made = support.router(from)
        local again = {value = {id = "a2", uri = "/*"}}
        from.told({{old = from.values[1], new = again}})
        t.equal("a2", (support.ask(made, {host = "h", uri = "/"})))
        from.told({{old = again}, {new = {value = {id = "c", uri = "/*"}}}})
        t.equal("b", (support.ask(made, {host = "h", uri = "/"})))
    end)

    t.test("several changes of one item in one list", function()
        local from = provider({})
        local made = support.router(from)
        local first, second = {value = {id = "1", uri = "/*"}}, {value = {id = "2", uri = "/*"}}
        from.told({{new = first}, {old = first, new = second}})
        t.equal("2", (support.ask(made, {host = "h", uri = "/"})))
        from.told({{old = second}, {new = second}})
        t.equal("2", (support.ask(made, {host = "h", uri = "/"})))
        from.told({{new = second}, {old = second}})
        t.equal(nil, (support.ask(made, {host = "h", uri = "/"})))
    end)

    t.test("a request in the middle of a list sees it whole", function()
        local from = provider({{id = "a", uri = "/*", priority = 2, vars = {{"slow", "==", "1"}}}, {id = "b",
            uri = "/*", priority = 1}})
        local made = support.router(from)
        local vars = setmetatable({host = "h", uri = "/"}, {__index = function(_, name)
            return name == "slow" and coroutine.yield() or nil
        end})
        local ctx = {var = vars}
        local request = coroutine.wrap(function()
            made.match(ctx)
        end)
        request()
        from.told({{old = from.values[1]}, {old = from.values[2]}})
        t.equal(nil, (support.ask(made, {host = "h", uri = "/", slow = "1"})))
        request()
        t.equal("b", ctx.matched_route.value.id)
    end)

    t.test("without news, a version that moves makes it look", function()
        local from = {values = support.items({{id = "a", uri = "/*"}, {id = "b", uri = "/b"}}), conf_version = 1}
        local made = support.router(from)
        from.values[1] = false
        from.values[3] = {value = {id = "c", uri = "/c"}}
        t.equal("a", (support.ask(made, {host = "h", uri = "/"})))
        from.conf_version = 2
        t.equal(nil, (support.ask(made, {host = "h", uri = "/"})))
        t.equal("b", (support.ask(made, {host = "h", uri = "/b"})))
        t.equal("c", (support.ask(made, {host = "h", uri = "/c"})))
        from.values, from.conf_version = nil, 3
        t.equal(nil, (support.ask(made, {host = "h", uri = "/b"})))
    end)

    t.test("after a change that failed half-way everything is built anew", function()
        local from = provider({{id = "a", uri = "/*"}})
        local made = support.router(from)
        -- Hosts that are no texts: its schema would not let APISIX take it.
        local broken = {value = {id = "b", uri = "/*", hosts = {{}}}}
        t.equal(false, (pcall(from.told, {{old = from.values[1]}, {new = broken}})))
        from.values = support.items({{id = "c", uri = "/*"}})
        t.equal("c", (support.ask(made, {host = "h", uri = "/"})))
    end)

    t.test("a process that serves no requests builds when it has to", function()
        local from = provider({{id = "a", uri = "/*"}})
        local made = support.router(from, {idle = true})
        local new = {value = {id = "b", uri = "/*"}}
        from.told({{old = from.values[1], new = new}})
        from.values = {new}
        t.equal("b", (support.ask(made, {host = "h", uri = "/"})))
        t.equal({from.values, 1}, {made.routes()})
    end)
end
