--- Lines of those in a worker that wait for their turn: first come, first served.
--
-- The first of a line looks from time to time whether it can go, as what it waits for may become free in another worker, and
-- at once when it is called. The others sleep until they are first.

local math_min = math.min
local setmetatable = setmetatable

local Lines = {}
Lines.__index = Lines

local _M = {}

-- How long the first and the others sleep, in seconds.
local LOOK = 0.01
local SLEEP = 60


--- @param semaphore function, makes one
function _M.new(semaphore)
    return setmetatable({semaphore = semaphore, by_name = {}}, Lines)
end


--- Whether nobody waits.
function Lines:is_empty(name)
    return self.by_name[name] == nil
end


--- A place at the end of a line.
function Lines:join(name)
    local line = self.by_name[name]
    if not line then
        line = {first = 1, last = 0}
        self.by_name[name] = line
    end
    local place = {name = name, line = line, semaphore = self.semaphore()}
    line.last = line.last + 1
    line[line.last] = place
    return place
end


--- Sleeps, for at most so many seconds.
-- @return whether it is the first of its line
function Lines:wait(place, most)
    local line = place.line
    place.semaphore:wait(math_min(most, line[line.first] == place and LOOK or SLEEP))
    return line[line.first] == place
end


--- Lets the first of a line look.
function Lines:call(name)
    local line = self.by_name[name]
    if line then
        line[line.first].semaphore:post(1)
    end
end


--- Gives up a place.
function Lines:leave(place)
    local line = place.line
    place.left = true
    while line.first <= line.last and line[line.first].left do
        line[line.first] = nil
        line.first = line.first + 1
    end
    if line.first > line.last then
        self.by_name[place.name] = nil
    else
        self:call(place.name)
    end
end


return _M
