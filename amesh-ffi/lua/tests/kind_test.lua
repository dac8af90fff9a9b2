local fake = require("fake")
local kind = require("amesh.kind")
local equal = fake.equal

local function new(opts, key)
    local log = fake.log()
    return kind.new(key or "/routes", opts, {
        decode = fake.decode, check_schema = fake.check_schema, hash = fake.hash, log = log,
    }), log
end

local function apply(obj, id, text)
    obj:apply(id, "/routes/" .. id, text)
    return obj:finish()
end

return {
    {"an item as APISIX wants it", function()
        local obj = new()
        apply(obj, "7", "{uri='/*', id=7}")
        local item = obj:get(7)
        equal(item, obj:get("7"))
        equal(item.key, "/routes/7")
        equal(item.value.id, "7", "the id is a text, from the key")
        equal(type(item.modifiedIndex), "number")
        equal(obj:get("8"), nil)
        equal(obj.values[1], item)
        equal(obj.conf_version, 1)
    end},
    {"the id of the key wins, before the check and after it", function()
        local ids = {}
        local obj = new({checker = function(value, key)
            ids[#ids + 1] = tostring(value.id) .. " " .. key
            return true
        end})
        apply(obj, "a", "{id='other'}")
        apply(obj, "b", "{}")
        equal(ids[1], "a /routes/a")
        equal(ids[2], "nil /routes/b")
        equal(obj:get("b").value.id, "b")
    end},
    {"the same text changes nothing", function()
        local obj = new()
        apply(obj, "a", "{n=1}")
        local item = obj:get("a")
        equal(apply(obj, "a", "{n=1}"), nil)
        equal(obj:get("a"), item)
        equal(obj.conf_version, 1)
    end},
    {"an invalid item keeps its last good value and is logged once", function()
        local obj, log = new({
            item_schema = function(value) return value.n ~= 0, "n is 0" end,
            checker = function(value)
                if value.n == 13 then error("boom") end
                return value.n ~= 1, "n is 1"
            end,
            filter = function(item)
                if item.value.n == 14 then error("bang") end
            end,
        })
        apply(obj, "a", "{n=5}")
        local item = obj:get("a")
        local cases = {
            {"{", "not JSON"}, {"7", "should be an object"}, {"{n=0}", "n is 0"}, {"{n=1}", "n is 1"},
            {"{n=13}", "boom"}, {"{n=14}", "bang"},
        }
        for index, case in ipairs(cases) do
            equal(apply(obj, "a", case[1]), nil, case[1])
            equal(apply(obj, "a", case[1]), nil, case[1])
            equal(obj:get("a"), item, case[1])
            equal(#log.lines.error, index, case[1])
            fake.contains(log.lines.error[index], case[2])
            fake.contains(log.lines.error[index], "/routes/a is refused, its previous value stays")
        end
        equal(obj.rejected_count, 1)
        equal(obj.conf_version, 1)

        equal(apply(obj, "a", "{n=5}"), nil, "back to what is served")
        equal(obj:get("a"), item)
        equal(obj.rejected_count, 0)
    end},
    {"what was refused is checked again on demand", function()
        local good = false
        local obj, log = new({checker = function() return good, "not yet" end})
        apply(obj, "a", "{}")
        fake.contains(log.lines.error[1], "there is no previous value")
        obj:retry()
        equal(#log.lines.error, 1, "the same reason is not logged again")
        good = true
        obj:retry()
        equal(obj:finish()[1].new, obj:get("a"))
        equal(obj.rejected_count, 0)
    end},
    {"deletion leaves a mark, and many make a new array", function()
        local obj = new()
        for n = 1, 150 do
            obj:apply("i" .. n, "/routes/i" .. n, "{n=" .. n .. "}")
        end
        obj:finish()
        local kept = obj:get("i150")
        for n = 1, 100 do
            equal(apply(obj, "i" .. n, nil)[1].new, nil)
        end
        equal(#obj.values, 150)
        equal(obj.values[1], false)
        local reading = obj.values
        apply(obj, "i101", nil)
        equal(#obj.values, 49)
        equal(#reading, 150, "who reads the old array reads on")
        equal(obj:get("i150"), kept)
        equal(obj.count, 49)
        for _, item in ipairs(obj.values) do
            equal(obj:get(item.value.id), item)
        end
        equal(apply(obj, "never", nil), nil)
    end},
    {"a single item is found by the kind, and its filter finds it in its place", function()
        local obj, seen
        obj = new({single_item = true, filter = function(item)
            seen = obj.values[1] == item
        end}, "/plugins")
        obj:apply(nil, "/plugins", "{{name='a'}}")
        obj:finish()
        equal(seen, true)
        equal(obj:get("/plugins").value[1].name, "a")
        equal(obj:get("/plugins").value.id, nil)
        obj:apply(nil, "/plugins", nil)
        equal(obj:get("/plugins"), nil)
    end},
    {"subscribers are told once in a run, after filters", function()
        local obj, log = new({filter = function(item) item.filtered = true end})
        apply(obj, "a", "{n=1}")
        local calls = {}
        obj:subscribe(function(changes) calls[#calls + 1] = changes end)
        equal(calls[1][1].new, obj:get("a"), "what is there already")

        local old = obj:get("a")
        obj:apply("a", "/routes/a", "{n=2}")
        obj:apply("b", "/routes/b", "{n=3}")
        obj:subscribe(function() error("reader") end)
        local ok = pcall(obj.notify, obj, obj:finish())
        equal(ok, true)
        equal(#calls, 2)
        equal(#calls[2], 2)
        equal(calls[2][1].old, old)
        equal(calls[2][1].new, obj:get("a"))
        equal(calls[2][2].old, nil)
        equal(calls[2][2].new.filtered, true)
        fake.contains(log.lines.error[1], "reader")
    end},
}
