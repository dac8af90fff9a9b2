local fake = require("fake")
local manifest = require("amesh.manifest")
local writer = require("writer")
local equal = fake.equal

local function zones(with_manifest)
    local config, versions = fake.dict(), fake.dict()
    if with_manifest then
        writer.with_manifest(config)
    end
    return config, versions
end

local function listed(config)
    local keys = manifest.keys(config)
    table.sort(keys)
    return table.concat(keys, " ")
end

return {
    {"keys that nginx does not list are known", function()
        local config, versions = zones(true)
        writer.publish(config, versions, {{"/routes/a", "{}"}, {"/routes/bb", "{}"}, {"/upstreams/u", "{}"}})
        config.unlisted["/routes/a"] = true
        config.get_keys = function() error("nginx's list is asked") end
        equal(listed(config), "/routes/a /routes/bb /upstreams/u")
        writer.publish(config, versions, {}, {"/routes/a"})
        equal(listed(config), "/routes/bb /upstreams/u")
    end},
    {"a part that was lost is in the spare place", function()
        local config, versions = zones(true)
        writer.publish(config, versions, {{"/routes/a", "{}"}, {"/routes/b", "{}"}, {"/upstreams/u", "{}"}})
        writer.lose_part(config, "/routes/a")
        equal(listed(config), "/routes/a /routes/b /upstreams/u")
    end},
    {"all 256 parts are read, and empty lines are no keys", function()
        local config = fake.dict()
        config:set("/_manifest/0", "/routes/a\n\n\n")
        config:set("/_manifest/255", "/routes/b\n/routes/c\n")
        config:set("/_manifest/256", "/routes/no")
        equal(listed(config), "/routes/a /routes/b /routes/c")
    end},
    {"without a manifest nginx's list is asked", function()
        local config, versions = zones()
        equal(listed(config), "")
        writer.publish(config, versions, {{"/routes/a", "{}"}})
        equal(listed(config), "/_sentinel /routes/a")
        config, versions = zones(true)
        writer.publish(config, versions, {})
        equal(listed(config), "/_sentinel")
    end},
}
