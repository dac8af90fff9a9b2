--- What each worker has applied: for readiness and for the status.
--
-- A worker writes `worker/<subsystem>/<id>` into the version dictionary. `/status/ready` of APISIX counts the workers
-- that have set their number in the dictionary `status-report`. A worker has one number for both subsystems, so it is
-- set by whichever of the two is ready last.

local ipairs = ipairs
local pairs = pairs
local tonumber = tonumber

local OTHER = {http = "stream", stream = "http"}

local _M = {}


local function key_of(subsystem, id)
    return "worker/" .. subsystem .. "/" .. id
end


--- @param deps `versions`, `status_report` (may be nil), `encode`, `decode`, `subsystem`, `subsystems` (which exist),
-- `id`, `pid`, `count`, `now`, `log`
function _M.new(deps)
    local versions, status_report = deps.versions, deps.status_report
    local self = {ready = false}
    local told


    local function store(report)
        told = report.version
        report.pid = deps.pid
        report.at = deps.now()
        local ok, err = versions:set(key_of(deps.subsystem, deps.id), deps.encode(report))
        if not ok then
            deps.log.error("amesh: the status of a worker cannot be stored: ", err)
        end
    end


    --- When a worker starts: not ready.
    function self.begin()
        store({objects = {}, rejected = {}, rejected_count = 0})
        if not status_report then
            return
        end
        status_report:set(deps.id, false)
        -- A reload to fewer workers leaves numbers that nobody sets again, and APISIX wants as many as it has workers.
        for _, id in ipairs(status_report:get_keys(0)) do
            local number = tonumber(id)
            if number and number >= deps.count then
                status_report:delete(id)
            end
        end
    end


    local function other_is_ready()
        local other = OTHER[deps.subsystem]
        if not deps.subsystems[other] then
            return true
        end
        local text = versions:get(key_of(other, deps.id))
        local report = text and deps.decode(text)
        return report ~= nil and report.pid == deps.pid and report.version ~= nil
    end


    --- After each run. `changed`: whether there is something new to tell. A version that was there from the start is
    --- new too.
    function self.update(report, changed)
        if changed or report.version ~= told then
            store(report)
        end
        if not self.ready and report.version and other_is_ready() then
            self.ready = true
            if status_report then
                status_report:set(deps.id, true)
            end
        end
    end


    return self
end


--- What all workers have written, as a list.
function _M.all(versions, decode, subsystems, count)
    local list = {}
    for subsystem in pairs(subsystems) do
        for id = 0, count - 1 do
            local text = versions:get(key_of(subsystem, id))
            local report = text and decode(text)
            if report then
                report.worker, report.subsystem = id, subsystem
                list[#list + 1] = report
            end
        end
    end
    table.sort(list, function(a, b)
        if a.subsystem ~= b.subsystem then
            return a.subsystem < b.subsystem
        end
        return a.worker < b.worker
    end)
    return list
end


return _M
