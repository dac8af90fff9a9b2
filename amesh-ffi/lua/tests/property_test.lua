-- Random publishes, with everything that may go wrong with a journal, against a model that reads everything.

local fake = require("fake")
local writer = require("writer")
local equal = fake.equal

local KINDS = {"/routes", "/upstreams", "/ssls", "/amesh_x"}
local RUNS, STEPS = 60, 60

local function valid(value)
    return value.bad == nil, "bad"
end

-- `{n=..}` are good; the others are refused in different ways.
local function random_text()
    local n = math.random(10)
    if n == 1 then
        return "{n="
    elseif n == 2 then
        return "{bad=" .. math.random(3) .. "}"
    end
    return "{n=" .. math.random(4) .. "}"
end

local function is_good(text)
    return text:match("^{n=%d+}$") ~= nil
end

local function random_key()
    return KINDS[math.random(#KINDS)] .. "/" .. string.char(96 + math.random(12))
end

local function shuffled(list)
    for i = #list, 2, -1 do
        local j = math.random(i)
        list[i], list[j] = list[j], list[i]
    end
    return list
end

local function random_publish(deps)
    local put, delete, named = {}, {}, {}
    for _ = 1, math.random(0, 5) do
        local key = random_key()
        if not named[key] then
            named[key] = true
            if math.random(3) == 1 then
                delete[#delete + 1] = key
            else
                put[#put + 1] = {key, random_text()}
            end
        end
    end
    writer.publish(deps.config, deps.versions, shuffled(put), shuffled(delete), math.random(20) == 1)
end

-- What a reader of everything that keeps last good values has after it had `served`.
local function full_read(config, served)
    local now = {}
    for key, text in pairs(config.data) do
        if not key:find("^/_") then
            if is_good(text) then
                now[key] = text
            else
                now[key] = served[key]
            end
        end
    end
    return now
end

local function items_of(objects)
    local items = {}
    for _, obj in pairs(objects) do
        local count = 0
        for index, item in ipairs(obj.values) do
            if item then
                count = count + 1
                items[item.key] = item
                equal(obj:get(item.value.id), item)
                equal(obj.values_hash[item.value.id], index)
            else
                equal(item, false)
            end
        end
        equal(obj.count, count)
    end
    return items
end

-- What kills in the middle of a call leave, and what the successor makes of it.
local function damage(deps, provider)
    local config, key = deps.config, random_key()
    config.unlisted[key] = true
    writer.lose_part(config, key)
    writer.publish(config, deps.versions, {}, nil, true)
    provider.sync()
    writer.repair(config, key)
end

local function disturb(deps, provider)
    local versions = deps.versions
    local n = math.random(12)
    local version = versions:get("version")
    if n == 1 then
        -- Lapped: many publishes since the last run.
        for _ = 1, 1030 do
            writer.publish(deps.config, versions, {{"/routes/a", "{n=" .. math.random(9) .. "}"}})
        end
    elseif n == 2 then
        versions:delete("journal/" .. ("%.0f"):format(version % 1024))
    elseif n == 3 then
        -- Somebody's clock went back.
        version = version - math.random(2000)
        versions:set("begun", version)
        versions:set("version", version)
        versions:set("journal/" .. ("%.0f"):format(version % 1024), ("%.0f\n*"):format(version))
    elseif n == 4 then
        -- Half of a publish, seen early by a run, then the agent is killed, and its successor announces it.
        local key, text = random_key(), "{n=" .. math.random(4) .. "}"
        writer.write(deps.config, key, text)
        writer.publish(deps.config, versions, {}, nil, true)
        versions:set("begun", versions:get("version") + 1)
        writer.write(deps.config, random_key(), "{n=1}")
        for _ = 1, math.random(30) do
            provider.sync()
        end
        writer.publish(deps.config, versions, {}, nil, true)
    elseif n == 5 then
        provider.sync()
    elseif n == 6 and deps.config.has_manifest then
        damage(deps, provider)
    end
end

local function one_run(seed)
    math.randomseed(seed)
    local provider, deps = fake.provider()
    if math.random(2) == 1 then
        writer.with_manifest(deps.config)
    end
    if math.random(2) == 1 then
        random_publish(deps)
    end

    local objects, replayed = {}, {}
    for _, kind in ipairs(KINDS) do
        objects[kind] = provider.new(kind, {automatic = true, item_schema = valid, filter = function(item)
            item.filtered = (item.filtered or 0) + 1
        end})
        objects[kind]:subscribe(function(changes)
            for _, change in ipairs(changes) do
                local key = (change.new or change.old).key
                equal(replayed[key], change.old, "the old item of " .. key)
                replayed[key] = change.new
            end
        end)
    end

    local versions_of = {}
    for _ = 1, STEPS do
        for _ = 1, math.random(3) do
            random_publish(deps)
        end
        disturb(deps, provider)

        local before, last_served = items_of(objects), {}
        for key, item in pairs(before) do
            last_served[key] = item.value.n and "{n=" .. item.value.n .. "}"
        end
        for _, kind in ipairs(KINDS) do
            versions_of[kind] = objects[kind].conf_version
        end

        equal(select(3, provider.sync()), nil, "nothing is being written")
        local served, items = full_read(deps.config, last_served), items_of(objects)
        local changed = {}
        for key, text in pairs(served) do
            local item = items[key]
            assert(item, key .. " is missing")
            equal("{n=" .. item.value.n .. "}", text, key)
            equal(item.filtered, 1, "filters run once")
            if last_served[key] == text then
                assert(rawequal(before[key], item), key .. " did not change and is another table")
                equal(item.modifiedIndex, fake.hash(text))
            else
                changed[key:match("^/[^/]+")] = true
            end
        end
        for key in pairs(items) do
            assert(served[key], key .. " should be gone")
        end
        for key in pairs(before) do
            if not served[key] then
                changed[key:match("^/[^/]+")] = true
            end
        end
        for _, kind in ipairs(KINDS) do
            equal(objects[kind].conf_version - versions_of[kind], changed[kind] and 1 or 0, "conf_version of " .. kind)
        end
        for key, item in pairs(items) do
            equal(replayed[key], item, "as told to subscribers")
        end
        for key in pairs(replayed) do
            assert(items[key], "a subscriber still has " .. key)
        end
        equal(#deps.log.lines.warn, 0)
        equal(provider.report().error, nil)
    end
end

return {
    {RUNS .. " histories of " .. STEPS .. " steps", function()
        for seed = 1, RUNS do
            local ok, err = xpcall(one_run, debug.traceback, seed)
            if not ok then
                error("seed " .. seed .. ": " .. err)
            end
        end
    end},
}
