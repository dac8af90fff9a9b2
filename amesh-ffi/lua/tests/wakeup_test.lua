local fake = require("fake")
local wakeup = require("amesh.wakeup")
local equal = fake.equal

-- A world with a clock, a socket whose reads come from `reads`, and a record of what happened.
local function world(over)
    local w = {time = 100, slept = {}, reads = {}, connects = 0, closed = 0, log = fake.log(), refuse = nil}
    local socket = {
        settimeout = function(_, ms) w.timeout = ms end,
        connect = function(_, path)
            w.connects = w.connects + 1
            w.path = path
            if w.refuse then return nil, w.refuse end
            return true
        end,
        receiveany = function()
            local read = table.remove(w.reads, 1) or {nil, "timeout"}
            return read[1], read[2]
        end,
        close = function() w.closed = w.closed + 1 end,
    }
    local deps = {
        path = "/run/amesh.sock", poll_interval = 2,
        tcp = function() return socket end,
        sleep = function(s) w.slept[#w.slept + 1] = s; w.time = w.time + s end,
        now = function() return w.time end,
        log = w.log,
    }
    for name, value in pairs(over or {}) do
        deps[name] = value
    end
    w.waker = wakeup.new(deps)
    return w
end

return {
    {"without a socket the version is looked at every 50 ms", function()
        local w = world()
        local waker = wakeup.new({sleep = function(s) w.slept[1] = s end})
        waker:wait()
        equal(w.slept[1], 0.05)
    end},
    {"after connecting the version is looked at before anything is waited for", function()
        local w = world()
        w.reads = {{"x"}}
        w.waker:wait()
        equal(w.path, "unix:/run/amesh.sock")
        equal(#w.reads, 1)
        w.waker:wait()
        equal(#w.reads, 0)
        equal(w.timeout, 2000)
        equal(#w.slept, 0)
    end},
    {"a wait without a byte keeps the socket", function()
        local w = world()
        for _ = 1, 5 do
            w.waker:wait()
        end
        equal(w.connects, 1)
        equal(w.closed, 0)
    end},
    {"a socket that ends is connected again, a second later at the earliest", function()
        local w = world()
        w.reads = {{nil, "closed"}}
        w.waker:wait()
        w.waker:wait()
        equal(w.closed, 1)
        w.refuse = "connection refused"
        for _ = 1, 30 do
            w.waker:wait()
        end
        equal(w.connects, 2, "30 rounds of 50 ms are less than two seconds")
        equal(#w.slept, 30)
        equal(#w.log.lines.warn, 1, "logged once")
        fake.contains(w.log.lines.warn[1], "connection refused")
        for _ = 1, 1200 do
            w.waker:wait()
        end
        equal(w.connects, 6, "later and later: at 1, 3, 7, 15 and 31 seconds")
        w.refuse = nil
        for _ = 1, 30 * 20 do
            w.waker:wait()
        end
        equal(#w.log.lines.warn, 2)
        fake.contains(w.log.lines.warn[2], "come again")
    end},
    {"no socket can be made", function()
        local w = world({tcp = function() return nil, "too many" end})
        w.waker:wait()
        fake.contains(w.log.lines.warn[1], "too many")
    end},
    {"closing gives the socket back", function()
        local w = world()
        w.waker:wait()
        w.waker:close()
        equal(w.closed, 1)
        w.waker:wait()
        equal(w.connects, 2, "the next timer connects at once")
    end},
}
