--- Writes the dictionaries as the library does (docs/dictionary.md), for tests.

local format = string.format

local RING = 1024
local FIRST = 1764000000000

local _M = {}


local function checked(ok, err)
    if not ok then
        error("the dictionary refuses: " .. tostring(err))
    end
end


--- @param put a list of `{key, text}`, in order
-- @param delete a list of keys, in order
-- @param everything writes `*` in place of the keys
function _M.publish(config, versions, put, delete, everything)
    local lines = {}
    local version = (versions:get("version") or FIRST) + 1
    checked(versions:safe_set("begun", version))
    checked(config:safe_set("/_sentinel", "{}"))
    for _, entry in ipairs(put or {}) do
        checked(config:safe_set(entry[1], entry[2]))
        lines[#lines + 1] = entry[1]
    end
    for _, key in ipairs(delete or {}) do
        config:delete(key)
        lines[#lines + 1] = key
    end

    local head = format("%.0f", version)
    local keys = everything and "*" or table.concat(lines, "\n")
    checked(versions:safe_set("journal/" .. format("%.0f", version % RING), head .. "\n" .. keys))
    checked(versions:safe_set("version", version))
    return version
end


return _M
