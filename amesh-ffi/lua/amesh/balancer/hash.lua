--- The hash functions of Envoy's load balancers: 64 bits of a text.

local bit = require("bit")
local ffi = require("ffi")

local bxor = bit.bxor
local cast = ffi.cast
local lshift = bit.lshift
local rol = bit.rol
local rshift = bit.rshift
local tonumber = tonumber

local BYTES = ffi.typeof("const uint8_t *")
local INTS = ffi.typeof("const uint32_t *")
local LONGS = ffi.typeof("const uint64_t *")

local P1 = 0x9E3779B185EBCA87ULL
local P2 = 0xC2B2AE3D27D4EB4FULL
local P3 = 0x165667B19E3779F9ULL
local P4 = 0x85EBCA77C2B2AE63ULL
local P5 = 0x27D4EB2F165667C5ULL

local MURMUR = 0xC6A4A7935BD1E995ULL
-- The seed of GNU's std::hash, which Envoy takes.
local MURMUR_SEED = 0xC70F6907ULL

local _M = {}


local function round(sum, input)
    return rol(sum + input * P2, 31) * P1
end


local function merge(sum, input)
    return bxor(sum, round(0ULL, input)) * P1 + P4
end


--- xxHash64 of a text; the seed is 0 unless it is given.
function _M.xx(text, seed)
    seed = seed or 0ULL
    local length = #text
    local data = cast(BYTES, text)
    local at, sum = 0
    if length >= 32 then
        local a, b, c, d = seed + P1 + P2, seed + P2, seed + 0ULL, seed - P1
        repeat
            local longs = cast(LONGS, data + at)
            a, b, c, d = round(a, longs[0]), round(b, longs[1]), round(c, longs[2]), round(d, longs[3])
            at = at + 32
        until at + 32 > length
        sum = rol(a, 1) + rol(b, 7) + rol(c, 12) + rol(d, 18)
        sum = merge(merge(merge(merge(sum, a), b), c), d)
    else
        sum = seed + P5
    end
    sum = sum + length
    while at + 8 <= length do
        sum = rol(bxor(sum, round(0ULL, cast(LONGS, data + at)[0])), 27) * P1 + P4
        at = at + 8
    end
    if at + 4 <= length then
        sum = rol(bxor(sum, cast(INTS, data + at)[0] * P1), 23) * P2 + P3
        at = at + 4
    end
    while at < length do
        sum = rol(bxor(sum, data[at] * P5), 11) * P1
        at = at + 1
    end
    sum = bxor(sum, rshift(sum, 33)) * P2
    sum = bxor(sum, rshift(sum, 29)) * P3
    return bxor(sum, rshift(sum, 32))
end


local function mixed(value)
    return bxor(value, rshift(value, 47))
end


--- MurmurHash2 of a text, as GNU's std::hash has it.
function _M.murmur(text)
    local length = #text
    local data = cast(BYTES, text)
    local sum = bxor(MURMUR_SEED, length * MURMUR)
    local at = 0
    while at + 8 <= length do
        sum = bxor(sum, mixed(cast(LONGS, data + at)[0] * MURMUR) * MURMUR) * MURMUR
        at = at + 8
    end
    if at < length then
        local rest = 0ULL
        for last = length - 1, at, -1 do
            rest = lshift(rest, 8) + data[last]
        end
        sum = bxor(sum, rest) * MURMUR
    end
    return mixed(mixed(sum) * MURMUR)
end


--- The upper and the lower 32 bits as numbers, which are cheaper to keep and to compare.
function _M.halves(value)
    return tonumber(rshift(value, 32)), tonumber(value % 0x100000000ULL)
end


return _M
