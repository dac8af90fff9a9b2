--- Clusters that requests are shared out among.

local headers = require("amesh.plugin.headers")
local plugin = require("amesh.plugin")

local floor = math.floor
local ipairs = ipairs
local type = type

local _M = {}

local GREATEST = "18446744073709551615"


-- The remainder of a number in decimal digits, which may be greater than Lua's; nil where it is no number of 64 bits.
local function remainder(digits, total)
    if not digits:find("^%d+$") then
        return nil
    end
    digits = digits:gsub("^0+(%d)", "%1")
    if #digits > #GREATEST or (#digits == #GREATEST and digits > GREATEST) then
        return nil
    end
    local value = 0
    for at = 1, #digits do
        value = (value * 10 + digits:byte(at) - 48) % total
    end
    return value
end


local function compile_member(conf)
    local wrong = plugin.wrong(conf, {
        cluster = "string?", weight = "number", upstream_id = "string", status = "number?", host = "string?",
        request = "table?", response = "table?",
    }, "clusters.members")
    if wrong then
        return nil, wrong
    end
    local member = {cluster = conf.cluster, upstream_id = conf.upstream_id, status = conf.status, host = conf.host}
    local err
    member.request, err = headers.compile(conf.request or {})
    if member.request then
        member.response, err = headers.compile(conf.response or {})
    end
    if err then
        return nil, err
    end
    return member
end


--- A function that gives the member for a request; nil and what is wrong.
function _M.compile(conf, nginx)
    local wrong = plugin.wrong(conf, {header = "string?", members = "table"}, "clusters")
    if wrong then
        return nil, wrong
    end
    local members, ends, total = {}, {}, 0
    for at, one in ipairs(conf.members) do
        local member, err = compile_member(one)
        if not member then
            return nil, err
        end
        total = total + one.weight
        members[at], ends[at] = member, total
    end
    if total < 1 then
        return nil, "clusters.members have no weight"
    end
    local name = conf.header

    return function(ctx)
        -- Of several headers none is believed.
        local value = name and nginx.request_headers.get(ctx, name)
        local chosen = type(value) == "string" and remainder(value, total) or nginx.random(total)
        -- The first whose share ends after it.
        local low, high = 1, #ends
        while low < high do
            local middle = floor((low + high) / 2)
            if chosen < ends[middle] then
                high = middle
            else
                low = middle + 1
            end
        end
        return members[low]
    end
end


return _M
