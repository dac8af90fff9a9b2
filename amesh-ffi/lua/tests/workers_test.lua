local fake = require("fake")
local workers = require("amesh.workers")
local equal = fake.equal

-- The tables themselves stand for their JSON.
local function same(value) return value end

local function new(over)
    local deps = {
        versions = fake.dict(), status_report = fake.dict(), encode = same, decode = same,
        subsystem = "http", subsystems = {http = true}, id = 1, pid = 77, count = 2,
        now = function() return 5 end, log = fake.log(),
    }
    for name, value in pairs(over or {}) do
        deps[name] = value
    end
    return workers.new(deps), deps
end

local APPLIED = {version = 9, objects = {routes = 3}, rejected = {}, rejected_count = 0}

return {
    {"a worker is ready when it has applied a version", function()
        local worker, deps = new()
        worker.begin()
        equal(deps.status_report:get("1"), false)
        worker.update({objects = {}}, false)
        equal(deps.status_report:get("1"), false)
        worker.update(APPLIED, true)
        equal(deps.status_report:get("1"), true)
        equal(worker.ready, true)
    end},
    {"a worker of two subsystems is ready when both are", function()
        local both = {http = true, stream = true}
        local http, deps = new({subsystems = both})
        local stream = new({subsystems = both, subsystem = "stream",
                            versions = deps.versions, status_report = deps.status_report})
        http.begin()
        stream.begin()
        http.update({version = 9}, true)
        equal(deps.status_report:get("1"), false)
        stream.update({version = 9}, true)
        equal(deps.status_report:get("1"), true)
        http.update({version = 9}, false)
        equal(http.ready, true)
    end},
    {"what a worker before it wrote does not count", function()
        local both = {http = true, stream = true}
        local http, deps = new({subsystems = both})
        deps.versions:set("worker/stream/1", {pid = 76, version = 9})
        http.begin()
        http.update({version = 9}, true)
        equal(deps.status_report:get("1"), false)
    end},
    {"numbers of workers that are no more are removed", function()
        local worker, deps = new()
        deps.status_report:set(0, true)
        deps.status_report:set(2, true)
        deps.status_report:set(3, false)
        worker.begin()
        equal(deps.status_report:get("0"), true)
        equal(deps.status_report:get("2"), nil)
        equal(deps.status_report:get("3"), nil)
    end},
    {"without `apisix.status` there is no dictionary, and that is fine", function()
        local worker, deps = new()
        local without = workers.new(setmetatable({status_report = false}, {__index = deps}))
        without.begin()
        without.update(APPLIED, true)
        equal(without.ready, true)
        equal(worker.ready, false)
    end},
    {"the status of all workers, in order", function()
        local _, deps = new()
        for _, id in ipairs({1, 0}) do
            local worker = new({versions = deps.versions, id = id, pid = 70 + id})
            worker.begin()
            worker.update({version = 9 + id, objects = {}, rejected = {}, rejected_count = 0}, true)
        end
        deps.versions:set("worker/http/2", {pid = 1})
        local list = workers.all(deps.versions, same, {http = true}, 2)
        equal(#list, 2)
        equal(list[1].worker, 0)
        equal(list[2].worker, 1)
        equal(list[2].version, 10)
        equal(list[2].pid, 71)
        equal(list[2].at, 5)
    end},
    {"what was applied before the first run is told by it", function()
        local worker, deps = new()
        worker.begin()
        worker.update(APPLIED, false)
        equal(deps.versions:get("worker/http/1").version, 9)
    end},
    {"nothing new is not written again", function()
        local worker, deps = new()
        worker.begin()
        worker.update(APPLIED, true)
        deps.versions.set = function() error("written") end
        worker.update(APPLIED, false)
    end},
    {"a dictionary that is full is said", function()
        local worker, deps = new()
        deps.versions.set = function() return false, "no memory" end
        worker.begin()
        fake.contains(deps.log.lines.error[1], "no memory")
    end},
}
