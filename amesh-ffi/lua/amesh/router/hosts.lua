--- Lists of entries by host.
--
-- A name is looked for as it is, then by the longest `*suffix`, then among the entries for any host: Envoy's order of
-- virtual hosts. Entries that arrive elsewhere (another port, another destination) are in the same lists, with
-- conditions that do not hold; so a name whose entries are all for elsewhere is passed over, as a listener passes
-- over the virtual hosts of others. What belongs to one virtual host ends in an entry that takes everything, and
-- nothing falls through it.

local entry = require("amesh.router.entry")
local list = require("amesh.router.list")

local byte, sub = string.byte, string.sub
local ipairs, next, pairs = ipairs, next, pairs
local first = list.first

local _M = {}

--- The list of a changed host: `old`, if it had one, without what is removed, and with what is added in its place.
local function merged(old, change)
    local added, removed = {}, change.removed
    for one in pairs(change.added) do
        added[#added + 1] = one
    end
    if added[2] then
        table.sort(added, entry.before)
    end
    if not old then
        return added
    end
    local entries, at = {}, 1
    for _, one in ipairs(old) do
        if not removed[one] then
            while added[at] and entry.before(added[at], one) do
                entries[#entries + 1] = added[at]
                at = at + 1
            end
            entries[#entries + 1] = one
        end
    end
    for index = at, #added do
        entries[#entries + 1] = added[index]
    end
    return entries
end

--- The lengths of all suffixes, longest first, and whether all of that length begin with a dot: then a name without
-- one there need not be cut.
local function lengths_of(suffixes)
    local lengths, by_length = {}, {}
    for suffix in pairs(suffixes) do
        local one = by_length[#suffix]
        if not one then
            one = {length = #suffix, dotted = true}
            by_length[#suffix] = one
            lengths[#lengths + 1] = one
        end
        one.dotted = one.dotted and byte(suffix) == 46
    end
    table.sort(lengths, function(a, b)
        return a.length > b.length
    end)
    return lengths
end

function _M.new()
    return {exact = {}, suffixes = {}, lengths = {}, any = nil}
end

--- Puts changes into force. `changes` has, by host, `{added = {[entry] = true}, removed = {[entry] = true}}`; the key
-- `true` is for any host.
function _M.change(hosts, changes)
    local suffixes_changed = false
    for host, change in pairs(changes) do
        local map, key = hosts.exact, host
        if host == true then
            map, key = hosts, "any"
        elseif byte(host) == 42 then
            map, key = hosts.suffixes, sub(host, 2)
        end
        local old = map[key]
        local entries = merged(old and old.entries, change)
        map[key] = next(entries) and list.new(entries) or nil
        if map == hosts.suffixes and (old == nil) ~= (map[key] == nil) then
            suffixes_changed = true
        end
    end
    if suffixes_changed then
        hosts.lengths = lengths_of(hosts.suffixes)
    end
end

--- The first entry that takes the request with that number, and the host pattern that it was found by.
function _M.first(hosts, host, uri, number, ctx, tools)
    local found
    if host then
        local own = hosts.exact[host]
        if own then
            found = first(own, uri, number, ctx, tools)
            if found then
                return found, host
            end
        end
        local lengths, size = hosts.lengths, #host
        for index = 1, #lengths do
            local one = lengths[index]
            local from = size - one.length + 1
            if from >= 1 and (not one.dotted or byte(host, from) == 46) then
                local suffix = sub(host, from)
                own = hosts.suffixes[suffix]
                found = own and first(own, uri, number, ctx, tools)
                if found then
                    return found, "*" .. suffix
                end
            end
        end
    end
    return hosts.any and first(hosts.any, uri, number, ctx, tools) or nil
end

return _M
