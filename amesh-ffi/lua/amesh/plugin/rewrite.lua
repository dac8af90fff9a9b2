--- Changes of a path. A query stays as it is.

local plugin = require("amesh.plugin")

local find, sub = string.find, string.sub

local _M = {}


--- A function of a path and query that gives them changed; nil and what is wrong.
function _M.compile(conf, nginx)
    local wrong = plugin.wrong(conf, {cut = "number?", pattern = "string?", put = "string"}, "rewrite")
    if wrong then
        return nil, wrong
    end
    local cut, pattern, put = conf.cut, conf.pattern, conf.put
    if pattern then
        local _, err = nginx.replace_all("/", pattern, put)
        if err then
            return nil, "rewrite.pattern: " .. err
        end
    end
    return function(target)
        local question = find(target, "?", 1, true)
        local path = question and sub(target, 1, question - 1) or target
        local query = question and sub(target, question) or ""
        if pattern then
            path = nginx.replace_all(path, pattern, put) or path
        elseif cut then
            path = put .. sub(path, cut + 1)
        else
            path = put
        end
        return path .. query
    end
end


return _M
