--- Conditions of plugins: the same expressions as those of routes, with the same meaning.

local condition = require("amesh.router.condition")

local _M = {}


--- A function that makes `vars` into a test of a request's variables, or gives nil and what is wrong. `tools` as
-- `amesh.router.condition` takes them.
function _M.new(tools)
    local compile = condition.new(tools)
    -- A number of its own for each question: equal conditions of another request are not this one's.
    local number = 0
    return function(vars)
        local list, err = compile(vars)
        if not list then
            return nil, err
        end
        return function(values)
            number = number + 1
            return condition.all_hold(list, number, values)
        end
    end
end


return _M
