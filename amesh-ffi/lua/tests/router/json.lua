--- Lua values as JSON: what the tests write for APISIX. A table with a first element is a list, an empty one too.

local ESCAPES = {['"'] = '\\"', ["\\"] = "\\\\"}

local function encode(value)
    if type(value) == "string" then
        return '"' .. value:gsub('[%c"\\]', function(char)
            return ESCAPES[char] or string.format("\\u%04x", char:byte())
        end) .. '"'
    elseif type(value) ~= "table" then
        return tostring(value)
    end
    local parts = {}
    if next(value) == nil or value[1] ~= nil then
        for index, one in ipairs(value) do
            parts[index] = encode(one)
        end
        return "[" .. table.concat(parts, ",") .. "]"
    end
    for key, one in pairs(value) do
        parts[#parts + 1] = encode(key) .. ":" .. encode(one)
    end
    return "{" .. table.concat(parts, ",") .. "}"
end

return encode
