--- Which keys there are, as the writer's manifest tells it. docs/dictionary.md is the layout.

local PARTS = 256
local PREFIX = "/_manifest/"
-- The text of the part that is exchanged, or was last: where a writer was killed in the middle of that, the part is gone.
local SPARE = PREFIX .. "x"

local _M = {PARTS = PARTS, PREFIX = PREFIX, SPARE = SPARE}


--- Every key that may be there, each once: what is named need not have a value any more, or not yet.
--
-- A dictionary's own list misses keys after a process was killed in the middle of a call, and keeps all others waiting
-- while it is made. So it is asked only where there is no manifest: of a writer that has none, or that has no objects.
function _M.keys(config)
    local keys, seen_keys = {}, {}
    local function add(text)
        for line in text:gmatch("[^\n]+") do
            if not seen_keys[line] then
                seen_keys[line] = true
                keys[#keys + 1] = line
            end
        end
    end

    for part = 0, PARTS - 1 do
        local text = config:get(PREFIX .. part)
        if text then
            add(text)
        end
    end
    -- Last: a part that is lost from here on was read before.
    add(config:get(SPARE) or "")
    if keys[1] == nil then
        return config:get_keys(0)
    end
    return keys
end


return _M
