--- Turns by weights that change, as Envoy's scheduler has them: earliest deadline first.
--
-- An entry that had its turn is due again after one part in its weight, which is asked for at that time.

local ipairs = ipairs
local math_random = math.random
local setmetatable = setmetatable
local table_sort = table.sort

local Turns = {}
Turns.__index = Turns

local _M = {}


-- Of entries that are due at the same time, the one that was put in first.
local function before(a, b)
    return a.due < b.due or a.due == b.due and a.number < b.number
end


-- The entry in the first place goes down to where it belongs.
local function sink(heap)
    local at, size, entry = 1, #heap, heap[1]
    while true do
        local below = 2 * at
        if below > size then
            break
        end
        if below < size and before(heap[below + 1], heap[below]) then
            below = below + 1
        end
        if not before(heap[below], entry) then
            break
        end
        heap[at] = heap[below]
        at = below
    end
    heap[at] = entry
end


--- Turns of at least one item. They do not all begin with the same item in each worker.
function _M.of(items, weight)
    local turns = setmetatable({heap = {}, weight = weight, number = #items}, Turns)
    local entries = {}
    for index, item in ipairs(items) do
        entries[index] = {item = item, due = 1 / weight(item), number = index}
    end
    table_sort(entries, before)
    turns.heap = entries
    for _ = 1, math_random(0, #items - 1) do
        turns:next()
    end
    return turns
end


--- Whose turn it is.
function Turns:next()
    local entry = self.heap[1]
    self.number = self.number + 1
    entry.due = entry.due + 1 / self.weight(entry.item)
    entry.number = self.number
    sink(self.heap)
    return entry.item
end


return _M
