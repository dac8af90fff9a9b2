--- What is said of a regex, held against the regex.

local pcre = require("router.pcre")
local regex = require("amesh.router.regex")

local LITERAL = {
    {"^/reviews/", "prefix", "/reviews/"},
    {"^(?:/reviews)\\z", "equal", "/reviews"},
    {"^/a\\.b\\z", "equal", "/a.b"},
    {":9080\\z", "suffix", ":9080"},
    {"\\z", "suffix", ""},
    {".*", "any", ""},
    {"^", "any", ""},
    {"^/a.*", "prefix", "/a"},
    {"a b", "contains", "a b"},
    {"^(?:/a).*", "prefix", "/a"},
}

local PREFIX = {
    {"^/a/[0-9]+\\z", "/a/"}, {"^/ab?", "/a"}, {"^/ab*c", "/a"}, {"^/ab+", "/a"}, {"^/ab{0,1}", "/a"},
    {"^(?:/a/[^/]+)\\z", "/a/"}, {"^/a(?:b|c)d", "/a"}, {"^/a[|]b", "/a"}, {"^/a[]|(]b", "/a"},
    -- Alternatives, optional groups and what changes the reading: nothing is known.
    {"^/a|/b", ""}, {"^(?:/a|/b)\\z", ""}, {"^(?:/a)?b", ""}, {"^(?:/a){0,1}b", ""}, {"/a.", ""}, {"^/a(?i)b", ""},
    {"^/a[[:alpha:](]|/b", ""}, {"^/a\\Q|\\E", ""}, {"^/a(b)|c", ""}, {"^/a[(]|b", ""}, {"^/a\\(|b", ""},
    {"^(?:/a(?:b|c))\\z", "/a"}, {"^(?:/a[)]x)?b", ""},
}

local ALPHABET = {"/", "a", "b", ".", "*", "+", "?", "|", "(?:", "(", ")", "[", "]", "^", "\\.", "\\z", "\\w", "-",
    "{0,1}", "A"}

return function(t)
    t.test("literal patterns", function()
        for _, case in ipairs(LITERAL) do
            local kind, text = regex.literal(case[1])
            t.equal({case[2], case[3]}, {kind, text}, case[1])
        end
        for _, pattern in ipairs({"^/a$", "^/a.", "a|b", "^/a?", "^(?:/a", "^(?:a)?", "(?i)a", ".*\\z", "^.*\\z",
            "a.*"}) do
            t.equal(nil, (regex.literal(pattern)), pattern)
        end
    end)

    t.test("beginnings of patterns", function()
        for _, case in ipairs(PREFIX) do
            t.equal(case[2], regex.prefix(case[1]), case[1])
        end
    end)

    t.test("random patterns say of random texts what they are said to", function()
        math.randomseed(7)
        local function word(list, most)
            local parts = {}
            for index = 1, math.random(0, most) do
                parts[index] = list[math.random(#list)]
            end
            return table.concat(parts)
        end
        local known, taken = 0, 0
        for _ = 1, 20000 do
            local start = (math.random(3) > 1 and "^" or "") .. (math.random(3) == 1 and "(?:/a" or "")
            local pattern = start .. word(ALPHABET, 6)
            local kind, literal = regex.literal(pattern)
            local prefix = regex.prefix(pattern)
            known = known + ((kind or prefix ~= "") and 1 or 0)
            for _ = 1, 8 do
                local text = word({"/", "a", "b", ".", "(", "|", "A", "^"}, 4)
                if math.random(2) == 1 then
                    text = prefix:sub(1, -math.random(1, 2)) .. text
                end
                local takes = pcre.find(text, pattern) ~= nil
                if takes then
                    taken = taken + 1
                    t.equal(prefix, text:sub(1, #prefix), pattern)
                end
                local says
                if kind == "any" then
                    says = true
                elseif kind == "equal" then
                    says = text == literal
                elseif kind == "prefix" then
                    says = text:sub(1, #literal) == literal
                elseif kind == "suffix" then
                    says = literal == "" or text:sub(-#literal) == literal
                elseif kind == "contains" then
                    says = text:find(literal, 1, true) ~= nil
                end
                if kind then
                    t.equal(takes, says, pattern .. " of " .. text)
                end
            end
        end
        assert(known > 3000 and taken > 5000, known .. " known, " .. taken .. " taken")
    end)
end
