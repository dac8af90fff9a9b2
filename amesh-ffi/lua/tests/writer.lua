--- Writes the dictionaries as the library does (docs/dictionary.md), for tests.

local format = string.format

local manifest = require("amesh.manifest")

local RING = 1024
local FIRST = 1764000000000

local _M = {}


local function checked(ok, err)
    if not ok then
        error("the dictionary refuses: " .. tostring(err))
    end
end


-- The part that names a key. Which it is matters to the library alone.
local function part_of(key)
    return manifest.PREFIX .. #key * 7 % manifest.PARTS
end


-- Rewrites the part of a key, with the key in it or without.
local function name(config, key, there)
    local lines, part = {}, part_of(key)
    for line in (config:get(part) or ""):gmatch("[^\n]+") do
        if line ~= key then
            lines[#lines + 1] = line
        end
    end
    if there then
        lines[#lines + 1] = key
    end
    if lines[1] then
        local text = table.concat(lines, "\n") .. "\n\n"
        checked(config:safe_set(manifest.SPARE, text))
        checked(config:safe_set(part, text))
    else
        config:delete(manifest.SPARE)
        config:delete(part)
    end
end


--- Has the dictionary a manifest, as the library's has.
function _M.with_manifest(config)
    config.has_manifest = true
end


--- What a writer leaves that is killed while it exchanges the part of a key.
function _M.lose_part(config, key)
    config:safe_set(manifest.SPARE, config:get(part_of(key)) or "")
    config:delete(part_of(key))
end


--- What its successor does with that.
function _M.repair(config, key)
    local text = config:get(manifest.SPARE)
    if text ~= "" and not config:get(part_of(key)) then
        config:safe_set(part_of(key), text)
    end
end


--- Stores a value without announcing it.
function _M.write(config, key, text)
    if config.has_manifest then
        name(config, key, true)
    end
    checked(config:safe_set(key, text))
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
        _M.write(config, entry[1], entry[2])
        lines[#lines + 1] = entry[1]
    end
    for _, key in ipairs(delete or {}) do
        config:delete(key)
        if config.has_manifest then
            name(config, key, false)
        end
        lines[#lines + 1] = key
    end

    local head = format("%.0f", version)
    local keys = everything and "*" or table.concat(lines, "\n")
    checked(versions:safe_set("journal/" .. format("%.0f", version % RING), head .. "\n" .. keys))
    checked(versions:safe_set("version", version))
    return version
end


return _M
