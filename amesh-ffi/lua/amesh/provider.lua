--- A configuration provider of APISIX that reads the shared dictionary: the module that `core.config` is.
--
-- One loop in each process keeps all kinds in step. A run reads what the journal names, and is not interrupted: no
-- request sees a new route beside an old upstream. Where the journal cannot tell, all keys are compared; what is equal
-- stays as it is.
--
-- What it works with is passed in, so LuaJIT alone can test it. `amesh/apisix.lua` passes the real things.

local journal = require("amesh.journal")
local kind_of = require("amesh.kind")
local manifest = require("amesh.manifest")

local ipairs = ipairs
local next = next
local pairs = pairs
local pcall = pcall
local tostring = tostring
local sort = table.sort

-- Refused objects that the status names; the rest is counted.
local NAMED_REJECTS = 20

-- How often a run is put off, and a first read made again, because a publish is being written. A writer that died in the
-- middle of one never ends it.
local PUT_OFF = 20
local READ_AGAIN = 5

-- How long a process that waits for the first version sleeps between two looks, in seconds.
local PAUSE = 0.005

-- Objects that others are checked against come first. The rest has no order, as nothing runs in between.
local RANK = {
    ["/plugins"] = 1,
    ["/plugin_metadata"] = 2,
    ["/secrets"] = 3,
    ["/ssls"] = 4,
    ["/upstreams"] = 5,
    ["/services"] = 6,
}
local LAST_RANK = 7

-- A change of these can make valid what was refused.
local RETRY_AFTER = {["/plugins"] = true, ["/plugin_metadata"] = true, ["/secrets"] = true, ["/ssls"] = true}

-- What the privileged agent needs: it serves no requests, so objects would only take memory there.
local KEPT_IN_AGENT = {["/plugins"] = true, ["/plugin_metadata"] = true}

-- Until there is a first version a gateway cannot know whether a path exists. APISIX answers 503 where an upstream has
-- no nodes; without any route it would say 404.
local STARTING_KIND = "/routes"
local STARTING_ID = "amesh-starting"
local STARTING = '{"id":"amesh-starting","uri":"/*","upstream":{"type":"roundrobin","nodes":[]}}'

local _M = {}


-- The values of `keys`, by kind, of the kinds that are `wanted` (a function).
local function read_values(config, keys, wanted)
    local groups = {}
    for _, key in ipairs(keys) do
        local kind, id = journal.split(key)
        if wanted(kind) then
            local group = groups[kind]
            if not group then
                group = {}
                groups[kind] = group
            end
            group[#group + 1] = {key = key, id = id, text = (config:get(key))}
        end
    end
    return groups
end


local function apply_values(obj, group)
    for _, entry in ipairs(group or {}) do
        -- `/routes` is no route, and `/plugins/a` is not the list of plugins.
        if (entry.id == nil) == (obj.single_item == true) then
            obj:apply(entry.id, entry.key, entry.text)
        end
    end
end


local function drop_absent(obj, group)
    local present = {}
    for _, entry in ipairs(group or {}) do
        present[entry.id or entry.key] = true
    end
    obj:keep_only(present)
end


--- @param deps
--   config, versions: the two dictionaries
--   decode, check_schema, hash, log: as `amesh.kind` wants them
--   local_conf: function
--   in_agent: function, whether this is the privileged agent
--   on_init_worker: function, called once in each process
--   start_wait: seconds that a worker without a configuration waits for the first one; `pause`: function, sleeps so many
--   seconds and lets nothing else run
--   start: function(sync), has `sync` called from now on
function _M.new(deps)
    local config, versions, log = deps.config, deps.versions, deps.log

    -- by key, what `fetch_created_obj` finds; and which of them are kept in step, in order
    local created = {}
    local synced = {}
    -- `everything`: what was there when the first object was made, until the loop takes over
    local state = {loop_started = false, applied = nil, everything = nil, put_off = 0, error = nil}

    local provider = {local_conf = deps.local_conf}


    local function rank(obj)
        return RANK[obj.key] or LAST_RANK
    end


    local function kept(kind)
        return KEPT_IN_AGENT[kind] or not deps.in_agent()
    end


    -- Everything that is published, read once for all objects that are made before the loop takes over. It is of one
    -- version if the writer leaves a moment for it; otherwise the loop's first run puts it right.
    local function read_everything()
        if state.everything then
            return state.everything
        end
        local version, keys
        for _ = 1, READ_AGAIN do
            version = journal.version(versions)
            keys = version and manifest.keys(config) or {}
            state.everything = read_values(config, keys, kept)
            if not version or journal.settled(versions, version) then
                break
            end
        end
        state.applied = next(keys) and version or nil
        return state.everything
    end


    local function load_new(obj)
        if state.loop_started then
            if not state.applied then
                return
            end
            local function this(kind)
                return kind == obj.key
            end
            apply_values(obj, read_values(config, manifest.keys(config), this)[obj.key])
        else
            apply_values(obj, read_everything()[obj.key])
            if not state.applied and obj.key == STARTING_KIND then
                obj:apply(STARTING_ID, STARTING_KIND .. "/" .. STARTING_ID, STARTING)
            end
        end
        obj:finish()
    end


    --- Contract of APISIX.
    function provider.new(key, opts)
        local automatic = opts and opts.automatic
        if automatic and not key then
            return nil, "missing `key` argument"
        end

        local obj = kind_of.new(key, opts, deps)
        if not key then
            return obj
        end

        local before = created[key]
        created[key] = obj
        if automatic and kept(key) then
            -- A plugin that is loaded again makes its object again.
            for index, other in ipairs(synced) do
                if other == before then
                    table.remove(synced, index)
                    break
                end
            end
            load_new(obj)
            synced[#synced + 1] = obj
            sort(synced, function(a, b)
                if rank(a) ~= rank(b) then
                    return rank(a) < rank(b)
                end
                return a.key < b.key
            end)
        end
        return obj
    end


    --- Contract of APISIX.
    function provider.fetch_created_obj(key)
        return created[key]
    end


    --- Contract of APISIX: in the master.
    function provider.init()
        return true
    end


    -- All workers of an APISIX that was started begin with nothing. Until there is something they take no connections, so
    -- requests wait in the kernel for a moment, rather than being answered 503.
    local function await_first()
        local left = deps.in_agent() and 0 or deps.start_wait
        while left > 0 and not journal.version(versions) do
            deps.pause(PAUSE)
            left = left - PAUSE
        end
    end


    --- Contract of APISIX: in each worker and in the privileged agent, before any object is made.
    function provider.init_worker()
        deps.on_init_worker()
        await_first()
        deps.start(provider.sync)
        return true
    end


    local function finish_run()
        local told, retry = {}, false
        for _, obj in ipairs(synced) do
            retry = retry or (obj.changes[1] ~= nil and RETRY_AFTER[obj.key] == true)
        end
        if retry then
            for _, obj in ipairs(synced) do
                obj:retry()
            end
        end
        for _, obj in ipairs(synced) do
            local changes = obj:finish()
            if changes then
                told[#told + 1] = {obj = obj, changes = changes}
            end
        end
        for _, entry in ipairs(told) do
            entry.obj:notify(entry.changes)
        end
    end


    local function run()
        -- What `new` loaded with is done: from here on the journal tells.
        state.loop_started, state.everything = true, nil

        local version, keys = journal.read(versions, state.applied)
        if not version or version == state.applied then
            return false
        end

        local full = keys == nil
        if full then
            keys = manifest.keys(config)
            -- A writer never leaves the dictionary empty: whoever emptied it did not mean to say that nothing exists.
            if not next(keys) then
                return nil, "the dictionary is empty, what was read before stays"
            end
        end

        -- Read before anything is applied: a route of the next publish would find none of its new upstreams.
        local groups = read_values(config, keys, kept)
        if not journal.settled(versions, version) and state.put_off < PUT_OFF then
            state.put_off = state.put_off + 1
            return false, nil, true
        end
        state.put_off = 0

        for _, obj in ipairs(synced) do
            if not obj.closed then
                apply_values(obj, groups[obj.key])
                if full then
                    drop_absent(obj, groups[obj.key])
                end
            end
        end
        finish_run()
        state.applied = version
        return true
    end


    --- Brings all objects up to the version that is published.
    -- @return true where something was applied, false where nothing is new, nil after an error
    -- @return the reason of an error
    -- @return true where something is being written: to be called again in a moment
    function provider.sync()
        local called, done, err, again = pcall(run)
        if not called then
            -- The next run reads the same keys again: what was applied is equal then, and is told with the rest.
            done, err = nil, done
        end
        if done == nil then
            if err ~= state.error then
                log.error("amesh: the configuration cannot be read: ", tostring(err))
            end
            state.error = tostring(err)
            return nil, state.error
        end
        state.error = nil
        return done, nil, again
    end


    --- What this process has: for the status and for readiness.
    function provider.report()
        local report = {version = state.applied, error = state.error, objects = {}, rejected_count = 0, rejected = {}}
        for _, obj in ipairs(synced) do
            report.objects[obj.key:sub(2)] = obj.count
            report.rejected_count = report.rejected_count + obj.rejected_count
            for _, entry in pairs(obj.rejected) do
                report.rejected[#report.rejected + 1] = {key = entry.key, error = entry.err}
            end
        end
        sort(report.rejected, function(a, b) return a.key < b.key end)
        for index = #report.rejected, NAMED_REJECTS + 1, -1 do
            report.rejected[index] = nil
        end
        return report
    end


    return provider
end


return _M
