--- The one timer of a process that keeps its objects in step.

local pcall = pcall
local tostring = tostring

-- A timer keeps the memory of all its rounds until it ends.
local ROUNDS = 1000
local AFTER_ERROR = 1
-- A publish takes microseconds, a large one milliseconds.
local WHILE_WRITING = 0.005

local _M = {ROUNDS = ROUNDS}


--- @param deps `timer_at`, `exiting`, `sleep`, `log`, `waker` (function: a waker of `amesh.wakeup`), `after` (function,
-- called after each run with what `sync` returned)
function _M.start(deps, sync)
    local function round(waker)
        local done, err, again = sync()
        deps.after(done, err)
        if err then
            deps.sleep(AFTER_ERROR)
        elseif again then
            deps.sleep(WHILE_WRITING)
        else
            waker:wait()
        end
    end

    local function run(premature)
        if premature then
            return
        end
        local waker = deps.waker()
        local rounds = 0
        while not deps.exiting() do
            local ok, err = pcall(round, waker)
            if not ok then
                deps.log.error("amesh: a round failed: ", tostring(err))
                deps.sleep(AFTER_ERROR)
            end
            rounds = rounds + 1
            -- No timer to be had: this one goes on.
            if rounds % ROUNDS == 0 and deps.timer_at(0, run) then
                break
            end
        end
        waker:close()
    end

    local ok, err = deps.timer_at(0, run)
    if not ok then
        deps.log.error("amesh: the configuration will not be kept in step, no timer can be made: ", tostring(err))
    end
end


return _M
