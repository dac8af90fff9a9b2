--- Reads JSON that is known to be well formed.

local ESCAPES = {b = "\b", f = "\f", n = "\n", r = "\r", t = "\t"}

local function utf8(code)
    if code < 0x80 then
        return string.char(code)
    elseif code < 0x800 then
        return string.char(0xC0 + math.floor(code / 64), 0x80 + code % 64)
    end
    return string.char(0xE0 + math.floor(code / 4096), 0x80 + math.floor(code / 64) % 64, 0x80 + code % 64)
end

local read

local function read_text(text, at)
    local out = {}
    while true do
        local stop = text:find('["\\]', at)
        out[#out + 1] = text:sub(at, stop - 1)
        if text:sub(stop, stop) == '"' then
            return table.concat(out), stop + 1
        end
        local escape = text:sub(stop + 1, stop + 1)
        if escape == "u" then
            out[#out + 1] = utf8(tonumber(text:sub(stop + 2, stop + 5), 16))
            at = stop + 6
        else
            out[#out + 1] = ESCAPES[escape] or escape
            at = stop + 2
        end
    end
end

-- The parts of a list or an object up to its closing bracket.
local function read_parts(text, at, close, one)
    at = text:find("%S", at)
    while text:sub(at, at) ~= close do
        at = text:find("%S", one(at))
        if text:sub(at, at) == "," then
            at = text:find("%S", at + 1)
        end
    end
    return at + 1
end

function read(text, at)
    at = text:find("%S", at)
    local first = text:sub(at, at)
    if first == '"' then
        return read_text(text, at + 1)
    elseif first == "{" then
        local object = {}
        return object, read_parts(text, at + 1, "}", function(start)
            local key, value
            key, start = read(text, start)
            value, start = read(text, text:find(":", start, true) + 1)
            object[key] = value
            return start
        end)
    elseif first == "[" then
        local list = {}
        return list, read_parts(text, at + 1, "]", function(start)
            list[#list + 1], start = read(text, start)
            return start
        end)
    end
    local word, after = text:match("^([%w.+-]+)()", at)
    if word == "true" or word == "false" then
        return word == "true", after
    end
    return tonumber(word), after
end

return function(text)
    return (read(text, 1))
end
