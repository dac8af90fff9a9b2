local fake = require("fake")
local writer = require("writer")
local equal = fake.equal

local AUTO = {automatic = true}

local function publish(deps, ...)
    return writer.publish(deps.config, deps.versions, ...)
end

return {
    {"objects hold at once what is published", function()
        local provider, deps = fake.provider()
        local version = publish(deps, {{"/upstreams/u", "{}"}, {"/routes/a", "{}"}, {"/routesx/b", "{}"}})
        provider.init_worker()
        local routes = provider.new("/routes", AUTO)
        local upstreams = provider.new("/upstreams", AUTO)
        equal(routes:get("a").key, "/routes/a")
        equal(routes.count, 1)
        equal(upstreams.count, 1)
        equal(provider.fetch_created_obj("/routes"), routes)
        equal(provider.fetch_created_obj("/nothing"), nil)
        equal(provider.sync(), false, "nothing is read twice")
        equal(provider.report().version, version)
        equal(provider.report().objects.routes, 1)
    end},
    {"what is published while objects are made is applied by the first run", function()
        local provider, deps = fake.provider()
        publish(deps, {{"/routes/a", "{n=1}"}})
        local routes = provider.new("/routes", AUTO)
        publish(deps, {{"/routes/a", "{n=2}"}, {"/upstreams/u", "{}"}})
        local upstreams = provider.new("/upstreams", AUTO)
        equal(provider.sync(), true)
        equal(routes:get("a").value.n, 2)
        equal(upstreams.count, 1)
    end},
    {"before the first version everything is answered 503", function()
        local provider, deps = fake.provider()
        local routes = provider.new("/routes", AUTO)
        local told = {}
        routes:subscribe(function(changes) told[#told + 1] = changes end)
        equal(routes.count, 1)
        local item = routes:get("amesh-starting")
        equal(item.key, "/routes/amesh-starting")
        equal(provider.sync(), false)
        equal(provider.report().version, nil)

        publish(deps, {{"/routes/a", "{}"}})
        equal(provider.sync(), true)
        equal(routes:get("amesh-starting"), nil)
        equal(routes.count, 1)
        equal(#told, 2)
        equal(#told[2], 2)
    end},
    {"a worker that starts with nothing waits for the first version", function()
        local pauses = 0
        local provider, deps
        provider, deps = fake.provider({start_wait = 3, pause = function()
            pauses = pauses + 1
            if pauses == 4 then
                publish(deps, {{"/routes/a", "{}"}})
            end
        end})
        provider.init_worker()
        equal(pauses, 4)
        local routes = provider.new("/routes", AUTO)
        equal(routes.count, 1)
        equal(routes:get("a").key, "/routes/a")
        provider.init_worker()
        equal(pauses, 4, "nobody waits for what is there")
    end},
    {"a worker does not wait for ever, and the agent not at all", function()
        local paused = 0
        local function pause(seconds)
            paused = paused + seconds
        end
        local provider = fake.provider({start_wait = 0.5, pause = pause})
        provider.init_worker()
        equal(math.floor(paused * 100 + 0.5), 50)
        equal(provider.new("/routes", AUTO):get("amesh-starting").key, "/routes/amesh-starting")

        paused = 0
        fake.provider({start_wait = 0.5, pause = pause, in_agent = function() return true end}).init_worker()
        equal(paused, 0)
    end},
    {"a run reads only what the journal names", function()
        local provider, deps = fake.provider()
        publish(deps, {{"/routes/a", "{n=1}"}, {"/routes/b", "{n=1}"}, {"/upstreams/u", "{n=1}"}})
        local routes = provider.new("/routes", AUTO)
        local upstreams = provider.new("/upstreams", AUTO)
        provider.sync()
        local read = {}
        local get = deps.config.get
        deps.config.get = function(self, key)
            read[#read + 1] = key
            return get(self, key)
        end
        deps.config.get_keys = function() error("all keys are listed") end
        publish(deps, {{"/upstreams/u", "{n=2}"}})
        equal(provider.sync(), true)
        equal(table.concat(read, " "), "/upstreams/u")
        equal(upstreams.conf_version, 2)
        equal(routes.conf_version, 1)
        equal(provider.report().error, nil)
    end},
    {"all kinds move before anybody is told, and what others are checked against comes first", function()
        local provider, deps = fake.provider()
        publish(deps, {})
        local enabled = {}
        local plugins_seen
        local routes = provider.new("/routes", {automatic = true, checker = function(value)
            return enabled[value.plugin], "unknown plugin"
        end})
        provider.new("/plugins", {automatic = true, single_item = true, filter = function(item)
            enabled[item.value[1]] = true
        end})
        local upstreams = provider.new("/upstreams", AUTO)
        routes:subscribe(function() plugins_seen = upstreams:get("u") ~= nil end)
        publish(deps, {{"/routes/a", "{plugin='x'}"}, {"/upstreams/u", "{}"}, {"/plugins", "{'x'}"}})
        provider.sync()
        equal(routes.count, 1)
        equal(plugins_seen, true)

        publish(deps, {{"/routes/b", "{plugin='y'}"}})
        provider.sync()
        equal(routes.count, 1)
        equal(provider.report().rejected_count, 1)
        equal(provider.report().rejected[1].key, "/routes/b")
        publish(deps, {{"/plugins", "{'y'}"}})
        provider.sync()
        equal(routes.count, 2, "what was refused is checked again when the plugins change")
        equal(provider.report().rejected_count, 0)
    end},
    {"a single item and items are told apart by the key", function()
        local provider, deps = fake.provider()
        publish(deps, {{"/plugins/a", "{}"}, {"/routes", "{}"}})
        local plugins = provider.new("/plugins", {automatic = true, single_item = true})
        local routes = provider.new("/routes", AUTO)
        equal(plugins.count, 0)
        equal(routes.count, 0)
        publish(deps, {{"/plugins", "{}"}}, nil, true)
        provider.sync()
        equal(plugins.count, 1)
        publish(deps, {{"/routes/a", "{}"}}, nil, true)
        provider.sync()
        equal(plugins.count, 1, "a full compare keeps it")
    end},
    {"the privileged agent keeps the plugins alone", function()
        local provider, deps = fake.provider({in_agent = function() return true end})
        publish(deps, {{"/routes/a", "{}"}, {"/plugin_metadata/m", "{}"}, {"/amesh_x/a", "{}"}})
        local routes = provider.new("/routes", AUTO)
        local metadata = provider.new("/plugin_metadata", AUTO)
        local ours = provider.new("/amesh_x", AUTO)
        publish(deps, {{"/routes/b", "{}"}})
        provider.sync()
        equal(routes.count, 0)
        equal(routes:get("a"), nil)
        equal(metadata.count, 1)
        equal(ours.count, 0)
        equal(provider.fetch_created_obj("/routes"), routes)
    end},
    {"kinds of our own, made late and made again", function()
        local provider, deps = fake.provider()
        publish(deps, {{"/amesh_x/a", "{}"}})
        provider.new("/routes", AUTO)
        provider.sync()
        local first = provider.new("/amesh_x", AUTO)
        equal(first:get("a").key, "/amesh_x/a")
        local second = provider.new("/amesh_x", AUTO)
        publish(deps, {{"/amesh_x/b", "{}"}})
        provider.sync()
        equal(second.count, 2)
        equal(first.count, 1, "the one before is left alone")
        second:close()
        publish(deps, nil, {"/amesh_x/b"})
        provider.sync()
        equal(second.count, 2)
    end},
    {"without `automatic`, without a key", function()
        local provider, deps = fake.provider()
        publish(deps, {{"/routes/a", "{}"}})
        equal(provider.new("/routes"):get("a"), nil)
        equal(type(provider.new()), "table")
        local obj, err = provider.new(nil, AUTO)
        equal(obj, nil)
        equal(err, "missing `key` argument")
        provider.new():server_version()
    end},
    {"an error is told once, and what was missed is read and told afterwards", function()
        local provider, deps = fake.provider()
        publish(deps, {{"/routes/a", "{}"}})
        local routes = provider.new("/routes", AUTO)
        provider.sync()
        local told = 0
        routes:subscribe(function(changes) told = told + #changes end)
        publish(deps, {{"/routes/a", "{n=2}"}, {"/routes/b", "{}"}})
        local get = deps.config.get
        deps.config.get = function(self, key)
            if key == "/routes/b" then error("no memory") end
            return get(self, key)
        end
        for _ = 1, 3 do
            local done, err = provider.sync()
            equal(done, nil)
            fake.contains(err, "no memory")
        end
        equal(#deps.log.lines.error, 1)
        fake.contains(provider.report().error, "no memory")
        deps.config.get = get
        equal(provider.sync(), true)
        equal(routes.count, 2)
        equal(told, 3, "what was there, and both changes")
        equal(provider.report().error, nil)
    end},
    {"values of a publish that is being written are not served before it is announced", function()
        local provider, deps = fake.provider()
        publish(deps, {{"/upstreams/u", "{}"}, {"/routes/a", "{upstream='u'}"}})
        local routes = provider.new("/routes", AUTO)
        local upstreams = provider.new("/upstreams", AUTO)
        provider.sync()

        local version = publish(deps, {{"/routes/a", "{upstream='u', n=1}"}})
        deps.versions:set("begun", version + 1)
        deps.config:set("/upstreams/new", "{}")
        deps.config:set("/routes/a", "{upstream='new'}")
        local done, err, again = provider.sync()
        equal(done, false)
        equal(err, nil)
        equal(again, true)
        equal(routes:get("a").value.upstream, "u")

        publish(deps, {{"/upstreams/new", "{}"}, {"/routes/a", "{upstream='new'}"}})
        done, err, again = provider.sync()
        equal(done, true)
        equal(err or again, nil)
        equal(routes:get("a").value.upstream, "new")
        equal(upstreams.count, 2)
    end},
    {"a writer that died in the middle of a publish does not stop the readers", function()
        local provider, deps = fake.provider()
        local version = publish(deps, {{"/routes/a", "{n=1}"}})
        deps.versions:set("begun", version + 1)
        local routes = provider.new("/routes", AUTO)
        equal(routes:get("a").value.n, 1, "a new worker starts with what is there")
        equal(provider.sync(), false)

        version = publish(deps, {{"/routes/a", "{n=2}"}})
        deps.versions:set("begun", version + 1)
        local tries = 0
        repeat
            local _, _, again = provider.sync()
            tries = tries + 1
        until not again
        equal(tries, 21)
        equal(routes:get("a").value.n, 2)
    end},
    {"a dictionary that somebody emptied deletes nothing", function()
        local provider, deps = fake.provider()
        publish(deps, {{"/routes/a", "{}"}})
        local routes = provider.new("/routes", AUTO)
        publish(deps, {}, nil, true)
        for _, key in ipairs(deps.config:get_keys()) do
            deps.config:delete(key)
        end
        local done, err = provider.sync()
        equal(done, nil)
        fake.contains(err, "empty")
        equal(routes.count, 1)
    end},
    {"the status names some of what is refused and counts the rest", function()
        local provider, deps = fake.provider()
        local put = {}
        for n = 10, 39 do
            put[#put + 1] = {"/routes/r" .. n, "{"}
        end
        publish(deps, put)
        provider.new("/routes", AUTO)
        local report = provider.report()
        equal(report.rejected_count, 30)
        equal(#report.rejected, 20)
        equal(report.rejected[1].key, "/routes/r10")
    end},
}
