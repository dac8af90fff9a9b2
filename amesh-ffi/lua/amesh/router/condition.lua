--- Conditions of a route: the `vars` of APISIX, with the meaning that lua-resty-expr gives them.
--
-- The common operators on texts and numbers become functions of the variable's value. Everything else (`has`,
-- `ipmatch`, null, shorthand forms) is handed to lua-resty-expr itself.
--
-- Equal conditions are one table, so that a request asks each once, however many routes have it: the answer is kept
-- in the condition with the number of the request. So is the value of a variable. A request that waits in between
-- (some variables read the body) finds another's number there and asks again.

local regex = require("amesh.router.regex")

local find, format, lower, sub, upper = string.find, string.format, string.lower, string.sub, string.upper
local ipairs, setmetatable, tonumber, tostring, type = ipairs, setmetatable, tonumber, tostring, type

local _M = {}

local LOGIC = {AND = true, OR = true, ["!AND"] = true, ["!OR"] = true}

-- Comparisons of a variable's value, which may be nil. A number on the right makes it one on the left.
local equal = {
    string = function(wanted)
        return function(value)
            return value == wanted
        end
    end,
    number = function(wanted)
        return function(value)
            return tonumber(value) == wanted
        end
    end,
}

local differs = {
    string = function(wanted)
        return function(value)
            return value ~= wanted
        end
    end,
    number = function(wanted)
        return function(value)
            return tonumber(value) ~= wanted
        end
    end,
}

local function never()
    return false
end

local order = {
    [">"] = function(bound)
        return function(value)
            value = tonumber(value)
            return value ~= nil and value > bound
        end
    end,
    [">="] = function(bound)
        return function(value)
            value = tonumber(value)
            return value ~= nil and value >= bound
        end
    end,
    ["<"] = function(bound)
        return function(value)
            value = tonumber(value)
            return value ~= nil and value < bound
        end
    end,
    ["<="] = function(bound)
        return function(value)
            value = tonumber(value)
            return value ~= nil and value <= bound
        end
    end,
}

local literal = {
    any = function()
        return function(value)
            return not not value
        end
    end,
    equal = function(text)
        return function(value)
            return value and tostring(value) == text or false
        end
    end,
    prefix = function(text)
        local length = #text
        return function(value)
            return value and sub(tostring(value), 1, length) == text or false
        end
    end,
    suffix = function(text)
        local length = #text
        return function(value)
            if not value then
                return false
            end
            value = tostring(value)
            return #value >= length and sub(value, #value - length + 1) == text
        end
    end,
    contains = function(text)
        return function(value)
            return value and find(tostring(value), text, 1, true) ~= nil or false
        end
    end,
}

--- A pattern as a test, and a text that a value begins with when the test holds (`whole`: is equal to).
local function matches(pattern, caseless, re_find)
    local kind, text = regex.literal(pattern)
    if kind and caseless and find(text, "%a") then
        local test = literal[kind](lower(text))
        return function(value)
            return value and test(lower(tostring(value))) or false
        end
    elseif kind then
        return literal[kind](text), (kind == "equal" or kind == "prefix") and text or nil, kind == "equal"
    end
    local flags = caseless and "joi" or "jo"
    return function(value)
        return value and re_find(value, pattern, flags) ~= nil or false
    end, not caseless and regex.prefix(pattern) or nil, false
end

local function among(list)
    local set = {}
    for _, value in ipairs(list) do
        if type(value) ~= "string" and type(value) ~= "number" then
            return nil
        end
        set[value] = true
    end
    return function(value)
        return value ~= nil and set[value] == true
    end
end

--- A test for an operator with a right side, or nothing where lua-resty-expr has to do it.
local function test_of(op, right, re_find)
    local kind = type(right)
    if op == "==" and equal[kind] then
        return equal[kind](right), kind == "string" and right or nil, true
    elseif op == "~=" and differs[kind] then
        return differs[kind](right)
    elseif order[op] and (kind == "string" or kind == "number") then
        local bound = tonumber(right)
        return bound and order[op](bound) or never
    elseif (op == "~~" or op == "~*") and kind == "string" then
        return matches(right, op == "~*", re_find)
    elseif op == "in" and kind == "table" then
        return among(right)
    end
    return nil
end

--- A text that is the same for equal right sides only; nothing where there is none.
local function signature(right)
    if type(right) == "table" then
        local parts = {}
        for index, value in ipairs(right) do
            parts[index] = signature(value)
            if not parts[index] then
                return nil
            end
        end
        return "[" .. table.concat(parts) .. "]"
    elseif type(right) == "number" then
        return format("%.17g;", right)
    end
    -- The length says where a text ends, whatever is in it.
    return type(right) == "string" and #right .. ":" .. right or nil
end

local eval

local function all(list, from, number, vars)
    for index = from, #list do
        if not eval(list[index], number, vars) then
            return false
        end
    end
    return true
end

local function any(list, number, vars)
    for index = 1, #list do
        if eval(list[index], number, vars) then
            return true
        end
    end
    return false
end

--- Whether a condition holds for the request with that number.
function eval(condition, number, vars)
    if condition.number == number then
        return condition.answer
    end
    local answer
    local test = condition.test
    if test then
        local variable = condition.variable
        local value
        if variable.number == number then
            value = variable.value
        else
            value = vars[variable.name]
            variable.value = value
            variable.number = number
        end
        answer = test(value) ~= condition.reverse
    elseif condition.expr then
        answer = not not condition.expr:eval(vars)
    elseif condition.either then
        answer = any(condition.list, number, vars) ~= condition.reverse
    else
        answer = all(condition.list, 1, number, vars) ~= condition.reverse
    end
    condition.answer = answer
    condition.number = number
    return answer
end

_M.holds = eval

--- Whether all conditions of a list hold.
function _M.all_hold(list, number, vars)
    return all(list, 1, number, vars)
end

--- `tools.expr` is `resty.expr.v1`, `tools.re_find` is `ngx.re.find`.
function _M.new(tools)
    local weak = {__mode = "v"}
    local known, variables = setmetatable({}, weak), setmetatable({}, weak)
    local compile

    local function variable(name)
        local one = variables[name]
        if not one then
            one = {name = name}
            variables[name] = one
        end
        return one
    end

    local function by_expr(rule)
        local compiled, err = tools.expr.new({rule})
        if not compiled then
            return nil, err
        end
        return {expr = compiled}
    end

    local function leaf(rule)
        local name, op, right, reverse = rule[1], rule[2], rule[3], false
        if #rule == 4 and op == "!" then
            op, right, reverse = rule[3], rule[4], true
        elseif #rule ~= 3 then
            return by_expr(rule)
        end
        if type(name) ~= "string" or type(op) ~= "string" then
            return by_expr(rule)
        end
        op = lower(op)
        local sign = signature(right)
        local key = sign and name .. (reverse and "\0!" or "\0") .. op .. "\0" .. sign
        local found = key and known[key]
        if found then
            return found
        end
        local test, begins, whole = test_of(op, right, tools.re_find)
        if not test then
            return by_expr(rule)
        end
        local condition = {variable = variable(name), test = test, reverse = reverse}
        if (name == "uri" or sub(name, 1, 10) == "amesh_path") and not reverse and begins and (whole or begins ~= "") then
            condition.begins, condition.whole = begins, whole
        end
        if key then
            known[key] = condition
        end
        return condition
    end

    local function group(op, rule, from)
        local list = {}
        for index = from, #rule do
            local condition, err = compile(rule[index])
            if not condition then
                return nil, err
            end
            list[#list + 1] = condition
        end
        return {list = list, either = find(op, "OR", 1, true) ~= nil, reverse = find(op, "!", 1, true) ~= nil}
    end

    --- One expression: a comparison, a list of expressions that must all hold, or a logical one.
    function compile(rule)
        if type(rule) ~= "table" or rule[1] == nil then
            return nil, "not an expression"
        elseif type(rule[1]) == "table" then
            return group("AND", rule, 1)
        end
        local op = type(rule[1]) == "string" and upper(rule[1])
        if not LOGIC[op] then
            return leaf(rule)
        elseif #rule <= 2 then
            return nil, "rule too short"
        end
        return group(op, rule, 2)
    end

    local function flatten(condition, into)
        local list = condition.list
        if list and not condition.either and not condition.reverse then
            for index = 1, #list do
                flatten(list[index], into)
            end
        else
            into[#into + 1] = condition
        end
        return into
    end

    --- The conditions that `vars` are, all of which must hold; nothing and a reason when they make no sense.
    return function(vars)
        if not vars or #vars == 0 then
            return {}
        end
        if type(vars[1]) ~= "table" and not (type(vars[1]) == "string" and LOGIC[upper(vars[1])]) then
            return nil, "rule should be wrapped inside brackets"
        end
        local condition, err = compile(vars)
        if not condition then
            return nil, err
        end
        return flatten(condition, {})
    end
end

return _M
