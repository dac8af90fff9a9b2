local fake = require("fake")
local journal = require("amesh.journal")
local writer = require("writer")
local equal = fake.equal

local function zones()
    return fake.dict(), fake.dict()
end

local function joined(keys)
    return keys and table.concat(keys, " ")
end

return {
    {"nothing is published", function()
        local _, versions = zones()
        equal(journal.read(versions, nil), nil)
    end},
    {"who has nothing compares everything", function()
        local config, versions = zones()
        local version = writer.publish(config, versions, {{"/routes/a", "{}"}})
        local read, keys = journal.read(versions, nil)
        equal(read, version)
        equal(keys, nil)
    end},
    {"each key once, over several publishes", function()
        local config, versions = zones()
        local first = writer.publish(config, versions, {})
        writer.publish(config, versions, {{"/upstreams/u", "{}"}, {"/routes/a", "{}"}})
        local last = writer.publish(config, versions, {{"/routes/a", "{n=1}"}}, {"/routes/b"})
        local read, keys = journal.read(versions, first)
        equal(read, last)
        equal(joined(keys), "/upstreams/u /routes/a /routes/b")
        read, keys = journal.read(versions, last)
        equal(read, last)
        equal(joined(keys), "")
    end},
    {"the ring remembers 1,024 publishes and no more", function()
        local config, versions = zones()
        local first = writer.publish(config, versions, {})
        for n = 1, journal.RING do
            writer.publish(config, versions, {{"/routes/" .. n, "{}"}})
        end
        local _, keys = journal.read(versions, first)
        equal(#keys, journal.RING)
        writer.publish(config, versions, {})
        _, keys = journal.read(versions, first)
        equal(keys, nil)
    end},
    {"an entry of another version, one that is gone, and a star", function()
        local config, versions = zones()
        local first = writer.publish(config, versions, {})
        local second = writer.publish(config, versions, {{"/routes/a", "{}"}})
        local key = "journal/" .. second % journal.RING

        versions:set(key, ("%.0f\n/routes/a"):format(second + journal.RING))
        local _, keys = journal.read(versions, first)
        equal(keys, nil, "overwritten")

        versions:delete(key)
        _, keys = journal.read(versions, first)
        equal(keys, nil, "absent")

        versions:set(key, "")
        _, keys = journal.read(versions, first)
        equal(keys, nil, "empty")

        versions:set(key, ("%.0f\n*"):format(second))
        _, keys = journal.read(versions, first)
        equal(keys, nil, "star")
    end},
    {"a version that went back", function()
        local config, versions = zones()
        local first = writer.publish(config, versions, {})
        local read, keys = journal.read(versions, first + 5)
        equal(read, first)
        equal(keys, nil)
    end},
    {"keys", function()
        local function split(key)
            local kind, id = journal.split(key)
            return kind .. " " .. tostring(id)
        end
        equal(split("/routes/a"), "/routes a")
        equal(split("/plugins"), "/plugins nil")
        equal(split("/consumers/a/credentials/b"), "/consumers a/credentials/b")
        equal(split("/routes/"), "/routes ")
    end},
}
