--- Which keys have changed, as the writer's journal tells it. docs/dictionary.md is the layout.

local tonumber = tonumber
local format = string.format

-- How many publishes the journal remembers.
local RING = 1024

local _M = {RING = RING}


--- The version that is published, or nil where nothing is.
function _M.version(versions)
    return tonumber((versions:get("version")))
end


--- Whether the values stand as `version` says. While a publish is being written, one that is read may be of the next
-- version. A writer that does not tell has nothing said against it.
function _M.settled(versions, version)
    local begun = tonumber((versions:get("begun")))
    return begun == nil or begun == version
end


-- Adds the keys of one publish to `keys`. False where the entry cannot tell them.
local function read_entry(versions, version, keys, seen_keys)
    local entry = versions:get("journal/" .. format("%.0f", version % RING))
    if not entry then
        return false
    end

    local first = true
    for line in entry:gmatch("[^\n]+") do
        if first then
            if tonumber(line) ~= version then
                return false
            end
            first = false
        elseif line == "*" then
            return false
        elseif not seen_keys[line] then
            seen_keys[line] = true
            keys[#keys + 1] = line
        end
    end

    return not first
end


--- What has been published since `applied`.
--
-- @return the version that is published, or nil where nothing is
-- @return the keys that have changed since, each once, or nil where all have to be compared
function _M.read(versions, applied)
    -- Read before the entries: all entries up to it are complete. An entry that is overwritten meanwhile has another
    -- version in its first line.
    local version = _M.version(versions)
    if not version then
        return nil
    end
    if version == applied then
        return version, {}
    end
    if not applied or version < applied or version - applied > RING then
        return version, nil
    end

    local keys, seen_keys = {}, {}
    for v = applied + 1, version do
        if not read_entry(versions, v, keys, seen_keys) then
            return version, nil
        end
    end
    return version, keys
end


--- The kind and the id of a key: `/routes/a` is `/routes` and `a`. The id is nil for the key of a single item.
function _M.split(key)
    local slash = key:find("/", 2, true)
    if not slash then
        return key, nil
    end
    return key:sub(1, slash - 1), key:sub(slash + 1)
end


return _M
