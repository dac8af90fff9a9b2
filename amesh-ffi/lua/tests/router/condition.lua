--- Conditions against lua-resty-expr.

local condition = require("amesh.router.condition")
local pcre = require("router.pcre")

local NAMES = {"http_x_a", "http_x_b", "uri", "server_port", "arg_k"}
local TEXTS = {"", "a", "A", "ab", "AB", "abc", "/a/b", "5", "5.0", "0x5", " 7", "-3", "1e1", "a.c",
    "application/grpc", "80"}
local NUMBERS = {0, 5, 7, -3, 10, 80, 5.5}
local PATTERNS = {
    ".*", "^a", "a\\z", "^ab\\z", "b", "^(?:a|b)", "^[ab]+\\z", "\\.", "^\\d+\\z", "^$", "(",
        "^(?:[^:]*|\\[.*\\])\\z", "^(?:a.*)\\z",
    "^/a/", "^A",
}
local OPERATORS = {"==", "~=", ">", ">=", "<", "<=", "~~", "~*", "in", "IN", "has"}

local function one(list)
    return list[math.random(#list)]
end

local function right(op)
    if op == "~~" or op == "~*" then
        return one(PATTERNS)
    elseif op == "in" or op == "IN" or op == "has" then
        local list = {}
        for index = 1, math.random(0, 3) do
            list[index] = math.random(4) == 1 and one(NUMBERS) or one(TEXTS)
        end
        return list
    end
    return math.random(2) == 1 and one(NUMBERS) or one(TEXTS)
end

local function rule(depth)
    if depth > 0 and math.random(4) == 1 then
        local list = {}
        if math.random(4) > 1 then
            list[1] = one({"AND", "OR", "!AND", "!OR", "or"})
        end
        for _ = 1, math.random(2, 3) do
            list[#list + 1] = rule(depth - 1)
        end
        return list
    end
    local op = one(OPERATORS)
    if math.random(20) == 1 then
        return {one(NAMES), one({"a", "5", "ab"})}
    end
    return math.random(4) == 1 and {one(NAMES), "!", op, right(op)} or {one(NAMES), op, right(op)}
end

local function values()
    local vars = {}
    for _, name in ipairs(NAMES) do
        if math.random(5) > 1 then
            -- A parameter without a value is `true` in APISIX, and some variables are lists.
            vars[name] = name == "arg_k" and one({true, 5, {"a", "5"}, "a"}) or one(TEXTS)
        end
    end
    return vars
end

return function(t)
    local compile = condition.new({re_find = pcre.find, expr = {new = function()
        return nil, "not here"
    end}})

    t.test("a condition that several routes have is asked once", function()
        local asked = 0
        local vars = setmetatable({}, {__index = function(_, name)
            asked = asked + 1
            return name == "http_x_a" and "a" or nil
        end})
        local first, second = compile({{"http_x_a", "~~", "^a"}}), compile({{"http_x_a", "~~", "^a"}, {"http_x_a",
            "==", "b"}})
        t.equal(true, first[1] == second[1])
        t.equal(true, condition.all_hold(first, 1, vars))
        t.equal(false, condition.all_hold(second, 1, vars))
        t.equal(1, asked)
        t.equal(true, condition.all_hold(first, 2, vars))
        t.equal(2, asked)
    end)

    t.test("conditions that differ in anything are not one", function()
        local different = {
            {"uri", "==", "5"}, {"uri", "==", 5}, {"uri", "~=", "5"}, {"uri", "!", "==", "5"}, {"host", "==", "5"},
            {"uri", "in", {"5"}}, {"uri", "in", {5}}, {"uri", "in", {"5", "6"}}, {"uri", "in", {"5,6"}},
            {"uri", "~~", "5"}, {"uri", "~*", "5"},
        }
        local seen, kept = {}, {}
        for index, each in ipairs(different) do
            kept[index] = assert(compile({each}))
            assert(not seen[kept[index][1]], t.text(each))
            seen[kept[index][1]] = true
        end
    end)

    t.test("what makes no sense is refused", function()
        for _, bad in ipairs({{"uri", "==", "/"}, {{"OR", {"uri", "==", "/"}}}, {{}}, {{"uri", "=", "/"}}}) do
            local list, err = compile(bad)
            t.equal({nil, "string"}, {list, type(err)}, t.text(bad))
        end
    end)

    if not t.home then
        t.skip("conditions against lua-resty-expr: AMESH_APISIX_HOME is not set")
        return
    end
    package.path = package.path .. ";" .. t.home .. "/deps/share/lua/5.1/?.lua"
    _G.ngx = {re = {find = pcre.find}, var = {}, null = {}}
    package.preload["resty.ipmatcher"] = function()
        return {}
    end
    package.preload["table.new"] = package.preload["table.new"] or function()
        return function()
            return {}
        end
    end
    local expr = require("resty.expr.v1")
    t.expr = expr

    t.test("random conditions mean what lua-resty-expr says", function()
        math.randomseed(11)
        compile = condition.new({re_find = pcre.find, expr = expr})
        local number, yes, no, refused = 0, 0, 0, 0
        for _ = 1, 30000 do
            local vars = {}
            for index = 1, math.random(0, 3) do
                vars[index] = rule(2)
            end
            local theirs, ours = expr.new(vars), compile(vars)
            t.equal(theirs == nil, ours == nil, t.text(vars))
            for _ = 1, theirs and 5 or 0 do
                number = number + 1
                local seen = values()
                local said = theirs:eval(seen)
                t.equal(said, condition.all_hold(ours, number, seen), t.text(vars) .. " of " .. t.text(seen))
                yes, no = yes + (said and 1 or 0), no + (said and 0 or 1)
            end
            refused = refused + (theirs and 0 or 1)
        end
        assert(yes > 10000 and no > 10000, yes .. " held, " .. no .. " did not, " .. refused .. " refused")
    end)
end
