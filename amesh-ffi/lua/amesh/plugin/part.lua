--- Parts of requests, as Envoy draws them: a number below the denominator for each question.

local plugin = require("amesh.plugin")

local _M = {}


--- What is wrong with a part.
function _M.wrong(part, at)
    local wrong = plugin.wrong(part, {numerator = "number", denominator = "number"}, at)
    if not wrong and part.denominator ~= 100 and part.denominator ~= 10000 and part.denominator ~= 1000000 then
        wrong = at .. ".denominator must be 100, 10000 or 1000000"
    end
    return wrong
end


--- Whether a request is one of the part; with `numerator` for another one than the configured.
function _M.drawn(part, nginx, numerator)
    numerator = numerator or part.numerator
    return numerator > 0 and (numerator >= part.denominator or nginx.random(part.denominator) < numerator)
end


return _M
