--- Random tables: hashes and shortcuts give what trying every route in order gives, and a table that was changed into
-- another gives what that one gives.

local condition = require("amesh.router.condition")
local pcre = require("router.pcre")
local support = require("router.support")
local tables = require("router.tables")

--- Every host and path of every route, in the order in which APISIX tries them, in plain words.
local function in_order(routes)
    local all = {}
    for place, route in ipairs(routes) do
        for _, host in ipairs(route.hosts or {route.host or "none"}) do
            for _, path in ipairs(route.uris or {route.uri}) do
                all[#all + 1] = {route = route, host = host, path = path, place = place}
            end
        end
    end
    local function rank(text)
        local star = text:find("*", 1, true)
        return star and star - 1 or math.huge
    end
    table.sort(all, function(a, b)
        for _, pair in ipairs({
            {a.host == "none" and -1 or rank(a.host:reverse()), b.host == "none" and -1 or rank(b.host:reverse())},
            {rank(a.path), rank(b.path)},
            {a.route.priority or 0, b.route.priority or 0},
            {#a.path, #b.path},
            {-a.place, -b.place},
        }) do
            if pair[1] ~= pair[2] then
                return pair[1] > pair[2]
            end
        end
        return false
    end)
    return all
end

local function fits(pattern, text)
    local star = pattern:find("*", 1, true)
    return star and text:sub(1, star - 1) == pattern:sub(1, star - 1) or pattern == text
end

--- Whether a path with names in it takes a text: only where that can be said in a word.
local function simple(path)
    return path == "/*" or path:find("^/[%w/._~-]*%*?$") ~= nil
end

local function first(all, vars, compile, number)
    for _, one in ipairs(all) do
        local route = one.route
        if (one.host == "none" or fits(one.host:reverse(), vars.host:reverse())) and fits(one.path,
            vars.uri) and route.status ~= 0
            and condition.all_hold(compile(route.vars), number, vars) then
            return route.id
        end
    end
    return nil
end

--- Leaves out what the words above do not cover; the comparison inside APISIX has it.
local function plain(routes)
    local kept = {}
    for _, route in ipairs(routes) do
        route.methods, route.remote_addrs, route.filter_func = nil, nil, nil
        local fine = true
        for _, path in ipairs(route.uris or {route.uri}) do
            fine = fine and simple(path)
        end
        kept[#kept + 1] = fine and route or nil
    end
    return kept
end

return function(t)
    t.test("random tables", function()
        math.randomseed(23)
        tables.use_variables({"uri", "amesh_path", "amesh_path_normalized"})
        local compile = condition.new({re_find = pcre.find})
        local hits, misses, number = 0, 0, 0
        local from = {values = {}, conf_version = 1}
        function from:subscribe(told)
            self.told = told
        end
        local kept = support.router(from)
        for round = 1, 1500 do
            local routes = round % 2 == 0 and tables.mesh() or plain(tables.other())
            local items = support.items(routes)
            local fresh = support.router({values = items, conf_version = 1})
            -- The other router gets there from the table before.
            local changes = {}
            for index = 1, math.max(#items, #from.values) do
                changes[index] = {old = from.values[index], new = items[index]}
            end
            from.told(changes)
            from.values = items
            local all = in_order(routes)
            for _ = 1, 30 do
                number = number + 1
                local vars = tables.request()
                local expected = first(all, vars, compile, number)
                local what = t.text(vars) .. "\n" .. t.text(routes)
                t.equal(expected, (support.ask(fresh, vars)), what)
                t.equal(expected, (support.ask(kept, vars)), "changed: " .. what)
                hits, misses = hits + (expected and 1 or 0), misses + (expected and 0 or 1)
            end
        end
        assert(hits > 15000 and misses > 3000, hits .. " hits, " .. misses .. " misses")
    end)
end
