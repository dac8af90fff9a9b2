--- What a regex says about a text without running it.
--
-- Most patterns in routes are literal texts with an anchor: `^/reviews/`, `:9080\z`, `^foo\z`. Comparing texts costs
-- a tenth of what running the regex does, and takes no place in nginx's cache of compiled ones. And a pattern that is
-- more than that often begins with a literal, by which a route is found without trying all the others.
--
-- Patterns are PCRE's, without flags. What is not understood for certain is left to the regex itself.

local byte, find, sub = string.byte, string.find, string.sub

local _M = {}

-- Characters that stand for themselves.
local PLAIN = "^[%w/_~,:;@%%&=<>'\"! #%-]"
-- After a backslash these stand for themselves too. A letter or digit there means something else.
local PUNCTUATION = "^[%p ]"

--- Reads a literal text from a position on. Returns the text, and the position after it.
local function run(pattern, from)
    local chars, at = {}, from
    while at <= #pattern do
        if find(pattern, PLAIN, at) then
            chars[#chars + 1] = sub(pattern, at, at)
            at = at + 1
        elseif byte(pattern, at) == 92 and find(pattern, PUNCTUATION, at + 1) then
            chars[#chars + 1] = sub(pattern, at + 1, at + 1)
            at = at + 2
        else
            break
        end
    end
    return table.concat(chars), at
end

--- Where the text of a pattern begins, whether it is anchored there, and whether in a group.
local function opening(pattern)
    if sub(pattern, 1, 4) == "^(?:" then
        return 5, true, true
    elseif byte(pattern, 1) == 94 then
        return 2, true, false
    end
    return 1, false, false
end

--- A pattern that says no more than a literal text does: one of `any`, `equal`, `prefix`, `suffix`, `contains`, and
-- the text. Nothing when there is more to it.
function _M.literal(pattern)
    local from, anchored, group = opening(pattern)
    local text, after = run(pattern, from)
    local rest = sub(pattern, after)
    if group then
        if sub(rest, 1, 1) ~= ")" then
            return nil
        end
        rest = sub(rest, 2)
    end
    if rest == "\\z" then
        return anchored and "equal" or "suffix", text
    end
    -- Nothing has to follow, so it does not matter that the dot takes no line feed.
    if rest == "" or (rest == ".*" and (anchored or text == "")) then
        if text == "" then
            return "any", ""
        end
        return anchored and "prefix" or "contains", text
    end
    return nil
end

--- The end of a character class that begins at a position, or nothing where it is not plain to see.
local function class_end(pattern, at)
    at = at + 1
    if byte(pattern, at) == 94 then
        at = at + 1
    end
    if byte(pattern, at) == 93 then
        at = at + 1
    end
    while at <= #pattern do
        local char = byte(pattern, at)
        if char == 93 then
            return at
        elseif char == 91 then
            -- A class by name, perhaps.
            return nil
        end
        at = at + (char == 92 and 2 or 1)
    end
    return nil
end

--- Whether a pattern has, from a position on, no alternative to what came before it at the same depth, and nothing
-- that changes how it is read.
local function goes_on(pattern, at)
    local depth = 0
    while at <= #pattern do
        local char = byte(pattern, at)
        if char == 92 then
            -- \Q makes what follows literal, \K moves the start.
            if find(pattern, "^[QEK]", at + 1) then
                return false
            end
            at = at + 1
        elseif char == 91 then
            at = class_end(pattern, at)
            if not at then
                return false
            end
        elseif char == 40 then
            if byte(pattern, at + 1) == 42 or (byte(pattern, at + 1) == 63 and byte(pattern, at + 2) ~= 58) then
                return false
            end
            depth = depth + 1
        elseif char == 41 then
            depth = depth - 1
        elseif char == 124 and depth <= 0 then
            return false
        end
        at = at + 1
    end
    return true
end

--- A text that everything begins with that the pattern takes; empty when none is known.
function _M.prefix(pattern)
    local from, anchored, group = opening(pattern)
    if not anchored then
        return ""
    end
    local text, after = run(pattern, from)
    if text == "" or not goes_on(pattern, after) then
        return ""
    end
    if group then
        -- What follows the group may make it optional.
        local closed, depth, at = false, 1, after
        while at <= #pattern and not closed do
            local char = byte(pattern, at)
            if char == 92 then
                at = at + 1
            elseif char == 91 then
                at = class_end(pattern, at)
            elseif char == 40 then
                depth = depth + 1
            elseif char == 41 then
                depth = depth - 1
                closed = depth == 0
            end
            at = at + 1
        end
        if not closed or find(pattern, "^[*?{]", at) then
            return ""
        end
    end
    -- A quantifier belongs to the last character.
    if find(pattern, "^[*+?{]", after) then
        text = sub(text, 1, -2)
    end
    return text
end

return _M
