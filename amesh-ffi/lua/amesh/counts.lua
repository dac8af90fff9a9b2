--- How many of something there are at a time, in all workers together.
--
-- For each name the dictionary has the sum, and the part of each worker, by its process. The part is raised before the sum
-- and lowered after it, and is what is taken off the sum when a worker is gone that did not end in good order: it never
-- leaves anything behind. That is looked for when a sum is too high, once in a second.

local floor = math.floor
local ipairs = ipairs
local setmetatable = setmetatable
local tonumber = tonumber

local Counts = {}
Counts.__index = Counts

local _M = {}

-- The names of sums have no number in front.
local SUM = "sum "
local LOOKING = "looking"
-- Seconds.
local PAUSE = 1


--- A dictionary of this worker alone, for where there is none to share: as much of one as is needed here.
function _M.own_dictionary()
    local values = {}
    return {
        incr = function(_, key, by, init)
            local value = values[key] or init
            if not value then
                return nil, "not found"
            end
            values[key] = value + by
            return value + by
        end,
        get = function(_, key) return values[key] end,
        delete = function(_, key) values[key] = nil end,
        -- Whoever counts is alive.
        add = function() return false end,
        get_keys = function() return {} end,
    }
end


--- @param deps
--   dict: a shared dictionary
--   pid: of this worker
--   alive: function, whether a process is a worker
function _M.new(deps)
    return setmetatable({
        dict = deps.dict, pid = deps.pid, alive = deps.alive, sums = {}, parts = {},
    }, Counts)
end


-- Takes the parts of processes that are gone off the sums.
local function clear(self, gone)
    local dict, found = self.dict, false
    for _, key in ipairs(dict:get_keys(0)) do
        local pid, name = key:match("^(%d+) (.*)$")
        if pid and gone(tonumber(pid)) then
            local part = dict:get(key)
            dict:delete(key)
            if part and part ~= 0 then
                dict:incr(SUM .. name, -part)
                found = true
            end
        end
    end
    return found
end


-- Whether anything was found that the dead have left.
local function bury(self)
    if not self.dict:add(LOOKING, true, PAUSE) then
        return false
    end
    return clear(self, function(pid) return pid ~= self.pid and not self.alive(pid) end)
end


-- The keys of a name, made once.
local function keys(self, name)
    local sum = self.sums[name]
    if not sum then
        if not self.began then
            self.began = true
            -- Of one that was there before, and had the same number.
            clear(self, function(pid) return pid == self.pid end)
        end
        sum = SUM .. name
        self.sums[name] = sum
        self.parts[name] = self.pid .. " " .. name
    end
    return sum, self.parts[name]
end


local function lower(dict, sum, part)
    dict:incr(sum, -1)
    dict:incr(part, -1)
end


local function take(self, name, limit)
    local sum, part = keys(self, name)
    local dict = self.dict
    local own = dict:incr(part, 1, 0)
    local all = own and dict:incr(sum, 1, 0)
    if not all then
        -- There is no room: what is not counted is not limited.
        if own then
            dict:incr(part, -1)
        end
        return true, false
    end
    if all < own then
        -- The sum was put out for want of room, or its last change came too late.
        all = dict:incr(sum, own - all) or own
    end
    if all > limit then
        lower(dict, sum, part)
        return false
    end
    return true, true
end


--- Counts one more where there are fewer than the limit.
-- @return whether there are
-- @return whether it was counted, and has to be given back
function Counts:take(name, limit)
    local taken, counted = take(self, name, limit)
    if not taken and limit > 0 and bury(self) then
        return take(self, name, limit)
    end
    return taken, counted
end


--- One less.
function Counts:give(name)
    lower(self.dict, keys(self, name))
end


--- How many there are.
function Counts:of(name)
    local sum = keys(self, name)
    return floor(self.dict:get(sum) or 0)
end


return _M
