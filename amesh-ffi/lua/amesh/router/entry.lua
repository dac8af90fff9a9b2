--- A route of APISIX as the router tries it: an entry for each of its URI patterns.
--
-- What can be worked out once is: the pattern in parts, the methods as a set, the conditions compiled, and the
-- *anchor*, a text that the request's path has to be, or to begin with, for the entry to be worth trying. The path is
-- nginx's `uri` or one of the variables of amesh/path.lua: an entry with the pattern `/*` and a condition on one of
-- those is found by it.

local condition = require("amesh.router.condition")

local byte, find, gmatch, sub = string.byte, string.find, string.gmatch, string.sub
local concat, ipairs, setmetatable, type = table.concat, ipairs, setmetatable, type
local all_hold = condition.all_hold

local _M = {}

--- What stands for the wildcards of a pattern that ends in more than a plain `*`, or for its `:name`s: their names,
-- and the regex that takes them. Without names a pattern is a prefix, and what follows its star is not looked at.
local function parameters(path, prefix)
    local parts, names, plain = {}, {}, true
    for part in gmatch(path, "([^/]*)/?") do
        parts[#parts + 1] = part
    end
    -- As ngx.re.split has it: no empty parts at the end.
    while #parts > 0 and parts[#parts] == "" do
        parts[#parts] = nil
    end
    for index, part in ipairs(parts) do
        local first = byte(part)
        if first == 58 then
            names[#names + 1] = sub(part, 2)
            parts[index] = "([^\\/]+)"
            plain = false
        elseif first == 42 then
            names[#names + 1] = #part > 1 and sub(part, 2) or ":ext"
            parts[index] = "((.|\\n)*)"
            plain = plain and index == #parts
        elseif find(part, "[^%w_~.-]") then
            plain = false
        end
    end
    if #names == 0 then
        return nil
    elseif plain and byte(path, -1) ~= 47 then
        return {rest = names[1], from = #prefix + 1}
    end
    return {names = names, regex = concat(parts, "\\/") .. (byte(path, -1) == 47 and "\\/" or "")}
end

--- `tools`: `re_match`, `ipmatcher`, `load`, see amesh/router.lua.
function _M.new(tools)
    local compile = condition.new(tools)
    local patterns = setmetatable({}, {__mode = "v"})

    --- What a path pattern comes to; most routes have one that others have too.
    local function pattern_of(path)
        local known = patterns[path]
        if not known then
            local star = find(path, "*", 1, true)
            local prefix = star and sub(path, 1, star - 1) or path
            known = {exact = not star, prefix = prefix, parameters = star and parameters(path, prefix) or nil}
            patterns[path] = known
        end
        return known
    end

    local function entry(shared, path, at)
        local pattern, conditions = pattern_of(path), shared.conditions
        local variable, anchor, whole = "uri", pattern.prefix, pattern.exact
        for index = 1, #conditions do
            local part = conditions[index]
            if part.begins then
                local name = part.variable.name
                if name == variable and not whole and (part.whole or #part.begins > #anchor)
                    or variable == "uri" and name ~= "uri" and path == "/*" then
                    variable, anchor, whole = name, part.begins, part.whole
                end
            end
        end
        return {
            item = shared.item, priority = shared.priority, path = path, at = at,
            methods = shared.methods, addresses = shared.addresses, conditions = conditions, filter = shared.filter,
            exact = pattern.exact, prefix = pattern.prefix, parameters = pattern.parameters,
            variable = variable, anchor = anchor, whole = whole,
            -- Set by who keeps it.
            record = false,
        }
    end

    local function methods(list)
        list = type(list) == "string" and {list} or list
        local set
        for _, method in ipairs(list or {}) do
            set = set or {}
            set[method] = true
        end
        return set
    end

    --- The entries of a route's item; nothing and a reason for one that cannot be tried.
    return function(item)
        local route = item.value
        local shared = {item = item, priority = route.priority or 0, methods = methods(route.methods)}
        local err
        shared.conditions, err = compile(route.vars)
        if not shared.conditions then
            return nil, "vars: " .. (err or "not valid")
        end
        local addresses = route.remote_addrs or route.remote_addr
        if addresses then
            shared.addresses, err = tools.ipmatcher.new(type(addresses) == "table" and addresses or {addresses})
            if not shared.addresses then
                return nil, "remote_addrs: " .. (err or "not valid")
            end
        end
        if route.filter_func then
            local chunk
            chunk, err = tools.load("return " .. route.filter_func, "router#" .. route.id)
            if not chunk then
                return nil, "filter_func: " .. err
            end
            shared.filter = chunk()
        end
        local entries = {}
        local paths = route.uris or route.uri
        for at, path in ipairs(type(paths) == "table" and paths or {paths}) do
            entries[at] = entry(shared, path, at)
        end
        return entries
    end
end

--- The order in which APISIX tries entries of one host: exact paths, then prefixes from long to short, then by
-- priority, then as they came.
function _M.before(a, b)
    if a.exact ~= b.exact then
        return a.exact
    elseif not a.exact and #a.prefix ~= #b.prefix then
        return #a.prefix > #b.prefix
    elseif a.priority ~= b.priority then
        return a.priority > b.priority
    elseif not a.exact and #a.path ~= #b.path then
        return #a.path > #b.path
    elseif a.record.place ~= b.record.place then
        return a.record.place < b.record.place
    end
    return a.at < b.at
end

--- The captures of a pattern with names, or nothing when it does not take the path.
local function captures(wanted, uri, re_match)
    local found = re_match(uri, wanted.regex, "jo")
    return found and found[0] == uri and found or nil
end

--- Whether an entry takes a request; `ctx` is APISIX's context of it.
function _M.takes(one, uri, number, ctx, tools)
    if one.exact then
        if uri ~= one.path then
            return false
        end
    elseif sub(uri, 1, #one.prefix) ~= one.prefix then
        return false
    end
    local vars = ctx.var
    if one.methods and not one.methods[vars.request_method] then
        return false
    end
    if one.addresses then
        local inside, err = one.addresses:match(vars.remote_addr)
        if err or not inside then
            return false
        end
    end
    if not all_hold(one.conditions, number, vars) then
        return false
    end
    if one.filter then
        local opts = {
            method = vars.request_method, remote_addr = vars.remote_addr, vars = vars, host = vars.host, matched = {},
        }
        if not one.filter(vars, opts, ctx, opts) then
            return false
        end
    end
    local wanted = one.parameters
    return not (wanted and wanted.names) or captures(wanted, uri, tools.re_match) ~= nil
end

--- Notes in APISIX's record of a match what the wildcards stand for.
function _M.note(one, uri, record, tools)
    record._path = one.path
    local wanted = one.parameters
    if not wanted then
        return
    elseif wanted.rest then
        record[wanted.rest] = sub(uri, wanted.from)
        return
    end
    local found = captures(wanted, uri, tools.re_match)
    for index, name in ipairs(wanted.names) do
        -- An optional part that is not there is false.
        if found and found[index] then
            record[name] = found[index]
        end
    end
end

return _M
