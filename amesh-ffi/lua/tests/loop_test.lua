local fake = require("fake")
local loop = require("amesh.loop")
local equal = fake.equal

-- Runs timers until none is left or `limit` rounds are over.
local function world(limit, over)
    local w = {timers = {}, rounds = 0, waits = 0, slept = {}, wakers = 0, closed = 0, log = fake.log(), after = {}}
    w.deps = {
        timer_at = function(_, fn) w.timers[#w.timers + 1] = fn; return true end,
        exiting = function() return w.rounds >= limit end,
        sleep = function(s) w.slept[#w.slept + 1] = s end,
        log = w.log,
        waker = function()
            w.wakers = w.wakers + 1
            return {
                wait = function() w.waits = w.waits + 1 end,
                close = function() w.closed = w.closed + 1 end,
            }
        end,
        after = function(done, err) w.after[#w.after + 1] = {done, err} end,
    }
    for name, value in pairs(over or {}) do
        w.deps[name] = value
    end
    function w.run(sync)
        loop.start(w.deps, function()
            w.rounds = w.rounds + 1
            return sync()
        end)
        while w.timers[1] do
            table.remove(w.timers, 1)(false)
        end
    end
    return w
end

return {
    {"rounds go on until the worker exits, each timer with its own socket", function()
        local w = world(2 * loop.ROUNDS + 5)
        w.run(function() return false end)
        equal(w.rounds, 2 * loop.ROUNDS + 5)
        equal(w.waits, w.rounds)
        equal(w.wakers, 3)
        equal(w.closed, 3)
        equal(w.after[1][1], false)
    end},
    {"a timer of a worker that exits does nothing", function()
        local w = world(5)
        loop.start(w.deps, function() w.rounds = w.rounds + 1 end)
        w.timers[1](true)
        equal(w.rounds, 0)
    end},
    {"an error is waited for, not spun on", function()
        local w = world(3)
        w.run(function() return nil, "broken" end)
        equal(w.waits, 0)
        equal(#w.slept, 3)
        equal(w.after[3][2], "broken")
    end},
    {"what is being written is looked at again in a moment", function()
        local w = world(3)
        w.run(function() return false, nil, true end)
        equal(w.waits, 0)
        equal(w.slept[1], 0.005)
    end},
    {"what nobody expected does not end the loop", function()
        local w = world(3, {after = function() error("unexpected") end})
        w.run(function() return true end)
        equal(w.rounds, 3)
        equal(#w.slept, 3)
        fake.contains(w.log.lines.error[1], "unexpected")
    end},
    {"without another timer this one goes on", function()
        local w = world(loop.ROUNDS + 10)
        local given = 0
        w.deps.timer_at = function(_, fn)
            given = given + 1
            if given > 1 then return nil, "too many pending timers" end
            w.timers[1] = fn
            return true
        end
        w.run(function() return false end)
        equal(w.rounds, loop.ROUNDS + 10)
        equal(w.wakers, 1)
    end},
    {"no timer at all is said", function()
        local w = world(1)
        w.deps.timer_at = function() return nil, "too many pending timers" end
        w.run(function() return true end)
        fake.contains(w.log.lines.error[1], "too many pending timers")
    end},
}
