--- The entries of one host in order, and the first of them that takes a request.
--
-- A short list is walked. A longer one is divided by the entries' anchors, in the variable that most of them have: those
-- for exactly this path are found by hash, those for paths that begin so by the longest beginning that any of them
-- has, and from there each *bucket* names the next shorter one. The buckets that concern a request are walked
-- together, in the order of the list, so what is skipped is only what could not have taken it.
--
-- A list never changes: a request that is in the middle of one sees it whole.

local entry = require("amesh.router.entry")

local sub = string.sub
local takes = entry.takes

local _M = {}

-- The number of entries above which dividing is worth it.
local SHORT = 6

local function bucket(map, anchor)
    local one = map[anchor]
    if not one then
        one = {}
        map[anchor] = one
    end
    return one
end

--- The longest beginning of a text that is a bucket, no longer than `most`.
local function longest(list, text, most)
    local lengths, prefixes = list.lengths, list.prefixes
    for index = 1, #lengths do
        local length = lengths[index]
        if length <= most then
            local found = prefixes[sub(text, 1, length)]
            if found then
                return found
            end
        end
    end
    return nil
end

--- The variable that most entries are found by; those for every path do not count.
local function most_common(entries)
    local counts, most = {}, "uri"
    for at = 1, #entries do
        local one = entries[at]
        if one.anchor ~= "/" or one.whole then
            local name = one.variable
            counts[name] = (counts[name] or 0) + 1
            if counts[name] > (counts[most] or 0) then
                most = name
            end
        end
    end
    return most
end

--- A list of entries that are in order already; it keeps the table.
function _M.new(entries)
    local list = {entries = entries}
    if #entries <= SHORT then
        return list
    end
    local variable = most_common(entries)
    local exact, prefixes, lengths, seen = {}, {}, {}, {}
    for at = 1, #entries do
        local one = entries[at]
        local here = one.variable == variable
        -- What is found by something else is tried with every path.
        local anchor, whole = here and one.anchor or "", here and one.whole
        local own = bucket(whole and exact or prefixes, anchor)
        own[#own + 1] = at
        if not whole and not seen[#anchor] then
            seen[#anchor] = true
            lengths[#lengths + 1] = #anchor
        end
    end
    list.variable = variable
    table.sort(lengths, function(a, b)
        return a > b
    end)
    list.exact, list.prefixes, list.lengths = exact, prefixes, lengths
    for anchor, own in pairs(prefixes) do
        own.next = longest(list, anchor, #anchor - 1)
    end
    for anchor, own in pairs(exact) do
        own.next = longest(list, anchor, #anchor)
    end
    return list
end

--- Walks two or more buckets together.
local function merged(entries, own, uri, number, ctx, tools)
    local heads, count = {}, 0
    while own do
        count = count + 1
        heads[count] = own
        own = own.next
    end
    local cursors = {}
    for index = 1, count do
        cursors[index] = 1
    end
    while true do
        local least, from
        for index = 1, count do
            local at = heads[index][cursors[index]]
            if at and (not least or at < least) then
                least, from = at, index
            end
        end
        if not least then
            return nil
        end
        cursors[from] = cursors[from] + 1
        if takes(entries[least], uri, number, ctx, tools) then
            return entries[least]
        end
    end
end

--- The first entry of a list that takes the request with that number.
function _M.first(list, uri, number, ctx, tools)
    local entries = list.entries
    if not list.exact then
        for at = 1, #entries do
            if takes(entries[at], uri, number, ctx, tools) then
                return entries[at]
            end
        end
        return nil
    end
    local text = list.variable == "uri" and uri or ctx.var[list.variable] or ""
    local own = list.exact[text] or longest(list, text, #text)
    if not own then
        return nil
    elseif own.next then
        return merged(entries, own, uri, number, ctx, tools)
    end
    for index = 1, #own do
        local one = entries[own[index]]
        if takes(one, uri, number, ctx, tools) then
            return one
        end
    end
    return nil
end

return _M
