local counts = require("amesh.counts")
local fake = require("fake")
local equal = fake.equal


--- Workers that share a dictionary; those that are in `dead` are gone.
local function workers()
    local dict, dead = fake.dict(), {}
    return dict, dead, function(pid)
        return counts.new({dict = dict, pid = pid, alive = function(other) return not dead[other] end})
    end
end


local function taken(count, name, limit, times)
    local sum = 0
    for _ = 1, times do
        sum = sum + (count:take(name, limit) and 1 or 0)
    end
    return sum
end


return {
    {"workers count together, and each name apart", function()
        local _, _, worker = workers()
        local one, two = worker(11), worker(12)
        equal(taken(one, "a", 3, 2), 2)
        equal(taken(two, "a", 3, 2), 1)
        equal(taken(two, "b", 1, 2), 1)
        equal(one:of("a"), 3)
        one:give("a")
        equal(two:of("a"), 2)
        equal(taken(two, "a", 3, 2), 1)
        equal(one:of("c"), 0)
    end},
    {"what is refused is not counted", function()
        local dict, _, worker = workers()
        local one = worker(11)
        equal(taken(one, "a", 2, 5), 2)
        one:give("a")
        one:give("a")
        equal(dict:get("sum a"), 0)
        equal(dict:get("11 a"), 0)
        equal(taken(one, "a", 0, 1), 0)
    end},
    {"what a killed worker had is taken back when it is in the way", function()
        local dict, dead, worker = workers()
        local one, two = worker(11), worker(12)
        equal(taken(one, "a", 2, 2), 2)
        equal(taken(two, "a", 2, 1), 0)
        dict:delete("looking")
        dead[11] = true
        equal(taken(two, "a", 2, 3), 2)
        equal(dict:get("11 a"), nil)
    end},
    {"the dead are looked for once in a while", function()
        local dict, dead, worker = workers()
        local one, two = worker(11), worker(12)
        equal(taken(one, "a", 1, 1), 1)
        equal(taken(two, "a", 1, 1), 0)
        dead[11] = true
        equal(taken(two, "a", 1, 1), 0, "looked a moment ago")
        dict:delete("looking")
        equal(taken(two, "a", 1, 1), 1)
    end},
    {"a worker with the number of one that is gone begins anew", function()
        local _, _, worker = workers()
        equal(taken(worker(11), "a", 2, 2), 2)
        equal(taken(worker(11), "a", 2, 3), 2)
    end},
    {"a worker that was killed between two changes leaves nothing behind", function()
        -- On the way in, the part is raised first; on the way out, the sum is lowered first: one is taken off too many.
        local dict, dead, worker = workers()
        local one, two = worker(11), worker(12)
        equal(taken(one, "a", 1, 1), 1)
        dict:incr("sum a", -1)
        dead[11] = true
        equal(taken(two, "a", 1, 1), 1)
        equal(taken(two, "a", 1, 1), 0)
        equal(two:of("a"), 1, "what was one too few is put right by the part of who counts")
    end},
    {"a sum that was put out for want of room is put right by what is known", function()
        local dict, _, worker = workers()
        local one = worker(11)
        equal(taken(one, "a", 3, 3), 3)
        dict:delete("sum a")
        equal(taken(one, "a", 3, 1), 0)
        for _ = 1, 3 do
            one:give("a")
        end
        equal(one:of("a"), 0)
    end},
    {"without room nothing is counted, and nothing refused", function()
        local dict, _, worker = workers()
        local one = worker(11)
        dict.full = true
        local admitted, counted = one:take("a", 1)
        equal(admitted, true)
        equal(counted, false)
        equal(next(dict.data), nil)
    end},
    {"without a dictionary a worker counts alone", function()
        local one = counts.new({dict = counts.own_dictionary(), pid = 11})
        equal(taken(one, "a", 2, 3), 2)
        one:give("a")
        equal(one:of("a"), 1)
        equal(taken(one, "a", 2, 3), 1)
    end},
}
