--- Envoy's RING_HASH: every endpoint at many places of a ring, and a request goes to the first place from its hash on.

local ffi = require("ffi")
local hash = require("amesh.balancer.hash")

local ceil = math.ceil
local halves = hash.halves
local ipairs = ipairs
local min = math.min
local setmetatable = setmetatable
local tonumber = tonumber

local UINTS = ffi.typeof("uint32_t[?]")
local BYTE = 256

local FUNCTIONS = {xx_hash = hash.xx, murmur_hash_2 = hash.murmur}

local Ring = {}
Ring.__index = Ring

local _M = {}


-- One pass of a sort by digits: the places in `from`, which are in order of the lower digits, into `to`.
local function pass(keys, divisor, from, to, size)
    local begins = ffi.new("uint32_t[257]")
    for place = 0, size - 1 do
        local digit = (keys[place] - keys[place] % divisor) / divisor % BYTE
        begins[digit + 1] = begins[digit + 1] + 1
    end
    for digit = 1, BYTE do
        begins[digit] = begins[digit] + begins[digit - 1]
    end
    for at = 0, size - 1 do
        local place = from[at]
        local digit = (keys[place] - keys[place] % divisor) / divisor % BYTE
        to[begins[digit]] = place
        begins[digit] = begins[digit] + 1
    end
end


-- The places in the order of their hashes.
local function sorted(high, low, size)
    local from, to = UINTS(size), UINTS(size)
    for place = 0, size - 1 do
        from[place] = place
    end
    for _, keys in ipairs({low, high}) do
        for digit = 0, 3 do
            pass(keys, BYTE ^ digit, from, to, size)
            from, to = to, from
        end
    end
    return from
end


-- How many places each node gets, summed up so far: not always whole numbers, which is why they depend on the order.
local function targets(nodes, minimum, maximum)
    local total, least = 0, nil
    for _, node in ipairs(nodes) do
        total = total + node.weight
        least = min(least or node.weight, node.weight)
    end
    least = least / total
    local scale = min(ceil(least * minimum) / least, maximum)
    local target, current, list = 0, 0, {}
    for index, node in ipairs(nodes) do
        target = target + scale * (node.weight / total)
        local count = 0
        while current < target do
            count = count + 1
            current = current + 1
        end
        list[index] = count
    end
    return list, current
end


--- What `upstream.key` says: the least and the greatest number of places, and the hash function.
function _M.settings(text)
    local minimum, maximum, name = (text or ""):match("^(%d+) (%d+) ([%w_]+)$")
    local made = FUNCTIONS[name]
    if not made then
        return nil, "amesh_ring_hash needs a key such as '1024 8388608 xx_hash'"
    end
    return {minimum = tonumber(minimum), maximum = tonumber(maximum), hash = made}
end


--- The ring of nodes, each with a key and a weight.
function _M.build(nodes, settings)
    local counts, size = targets(nodes, settings.minimum, settings.maximum)
    local high, low, owner = UINTS(size), UINTS(size), UINTS(size)
    local of, at = settings.hash, 0
    for index, node in ipairs(nodes) do
        local key = node.key .. "_"
        for number = 0, counts[index] - 1 do
            high[at], low[at] = halves(of(key .. number))
            owner[at] = index
            at = at + 1
        end
    end
    local order = sorted(high, low, size)
    local ring = {size = size, high = UINTS(size), low = UINTS(size), owner = UINTS(size)}
    for place = 0, size - 1 do
        local from = order[place]
        ring.high[place], ring.low[place], ring.owner[place] = high[from], low[from], owner[from]
    end
    return setmetatable(ring, Ring)
end


--- Which node a hash leads to; a further attempt takes the next place.
function Ring:choose(high, low, attempt)
    local first, last = 0, self.size
    while first < last do
        local middle = (first + last - (first + last) % 2) / 2
        local at = self.high[middle]
        if at < high or at == high and self.low[middle] < low then
            first = middle + 1
        else
            last = middle
        end
    end
    return self.owner[(first + attempt) % self.size]
end


return _M
