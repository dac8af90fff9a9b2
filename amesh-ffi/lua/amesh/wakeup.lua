--- Waits until there may be something new.
--
-- The library listens on a Unix socket and writes a byte for each publish. Behind that the version is looked at every
-- `poll_interval` seconds, so a lost wake-up only delays. Without the socket it is looked at every 50 ms, which takes
-- about 1 ms of CPU a second.

local setmetatable = setmetatable
local tostring = tostring

local FAST = 0.05
-- How long until the first try to connect again, and how long between two at most: nginx logs each that fails.
local RECONNECT = 1
local RECONNECT_MOST = 32
-- More than one byte waiting is one wake-up.
local MANY = 4096

local Waker = {}
local mt = {__index = Waker}

local _M = {FAST = FAST, RECONNECT = RECONNECT}


--- @param deps `path` (nil: no socket), `poll_interval`, `tcp` (makes a cosocket), `sleep`, `now`, `log`
function _M.new(deps)
    return setmetatable({deps = deps, tried = nil, pause = RECONNECT, reported = nil}, mt)
end


-- A cosocket belongs to the timer that made it.
local function connect(self)
    local deps = self.deps
    local now = deps.now()
    if self.tried and now - self.tried < self.pause then
        return false
    end
    self.tried = now

    local sock, err = deps.tcp()
    local ok
    if sock then
        sock:settimeout(1000)
        ok, err = sock:connect("unix:" .. deps.path)
    end
    if not ok then
        self.pause = math.min(2 * self.pause, RECONNECT_MOST)
        if self.reported ~= err then
            self.reported = err
            deps.log.warn("amesh: no wake-ups from ", deps.path, ", looking every ", FAST, " s instead: ",
                          tostring(err))
        end
        return false
    end

    self.pause = RECONNECT
    if self.reported then
        deps.log.warn("amesh: wake-ups come again from ", deps.path)
        self.reported = nil
    end
    sock:settimeout(deps.poll_interval * 1000)
    self.sock = sock
    return true
end


--- Returns when there may be something new.
function Waker:wait()
    local deps = self.deps
    if not deps.path then
        return deps.sleep(FAST)
    end

    if not self.sock then
        if not connect(self) then
            deps.sleep(FAST)
        end
        -- What was published before the connection stood gave no byte: look first.
        return
    end

    local data, err = self.sock:receiveany(MANY)
    if data or err == "timeout" then
        return
    end
    self.sock:close()
    self.sock = nil
end


--- Gives the socket back, before the timer ends.
function Waker:close()
    if self.sock then
        self.sock:close()
        self.sock = nil
    end
    self.tried = nil
end


return _M
