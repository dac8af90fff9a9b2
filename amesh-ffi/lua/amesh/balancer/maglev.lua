--- Envoy's MAGLEV: a table of endpoints, filled so that few entries change when an endpoint comes or goes.

local bit = require("bit")
local ffi = require("ffi")
local hash = require("amesh.balancer.hash")

local bnot = bit.bnot
local bxor = bit.bxor
local ipairs = ipairs
local max = math.max
local setmetatable = setmetatable
local table_sort = table.sort
local tonumber = tonumber

local UINTS = ffi.typeof("uint32_t[?]")
local TWO_32 = 2 ^ 32
local TWO_16 = 2 ^ 16

local Table = {}
Table.__index = Table

local _M = {}


--- What `upstream.key` says: the size of the table.
function _M.settings(text)
    local size = (text or ""):match("^%d+$")
    if not size then
        return nil, "amesh_maglev needs a key such as '65537'"
    end
    return {size = tonumber(size)}
end


-- The nodes in the order in which they take entries: where each begins, how far it steps, and its share.
local function entries(nodes, size)
    local total, list = 0, {}
    for index, node in ipairs(nodes) do
        total = total + node.weight
        list[index] = {
            index = index,
            key = node.key,
            weight = node.weight,
            next = tonumber(hash.xx(node.key) % size),
            skip = tonumber(hash.xx(node.key, 1ULL) % (size - 1)) + 1,
            target = 0,
        }
    end
    table_sort(list, function(a, b) return a.key < b.key end)
    local most = 0
    for _, entry in ipairs(list) do
        entry.weight = entry.weight / total
        most = max(most, entry.weight)
    end
    return list, most
end


--- The table of nodes, each with a key and a weight.
function _M.build(nodes, settings)
    local size = settings.size
    local list, most = entries(nodes, size)
    local owner = UINTS(size)
    local filled, iteration = 0, 0
    while filled < size do
        iteration = iteration + 1
        for _, entry in ipairs(list) do
            if filled == size then
                break
            end
            if iteration * entry.weight >= entry.target then
                entry.target = entry.target + most
                local at, skip = entry.next, entry.skip
                while owner[at] ~= 0 do
                    at = (at + skip) % size
                end
                owner[at] = entry.index
                entry.next = (at + skip) % size
                filled = filled + 1
            end
        end
    end
    return setmetatable({size = size, owner = owner}, Table)
end


--- Which node a hash leads to; a further attempt looks elsewhere.
function Table:choose(high, low, attempt)
    if attempt > 0 then
        -- The hash with the bits turned that the negated attempt has: the complement of one less.
        high = TWO_32 - 1 - high
        low = bnot(bxor(low, attempt - 1)) % TWO_32
    end
    local size = self.size
    -- In steps that stay within the whole numbers of a double.
    local rest = high % size
    rest = (rest * TWO_16 + (low - low % TWO_16) / TWO_16) % size
    rest = (rest * TWO_16 + low % TWO_16) % size
    return self.owner[rest]
end


return _M
