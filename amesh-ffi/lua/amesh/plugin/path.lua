--- Paths as Envoy's connection manager writes them, and changes of them. A query stays as it is.

local plugin = require("amesh.plugin")

local byte, char, find, format, gsub, sub = string.byte, string.char, string.find, string.format, string.gsub, string.sub
local concat = table.concat
local tonumber = tonumber

local _M = {}

local SLASHES = {unescape = true, redirect = true, reject = true}


-- An escape of a character that needs none.
local function decode(digits)
    local letter = char(tonumber(digits, 16))
    return find(letter, "^[%w._~-]$") and letter or nil
end


local function encode(letter)
    return format("%%%02X", byte(letter))
end


local function without_dots(path)
    local segments, count = {}, 0
    -- The first segment is what stands before the first slash: nothing.
    for segment in path:gmatch("/([^/]*)") do
        count = count + 1
        segments[count] = segment
    end
    local out, length = {}, 0
    for at = 1, count do
        local segment = segments[at]
        local dots = segment == ".." and 2 or segment == "." and 1
        if not dots then
            length = length + 1
            out[length] = segment
        else
            if dots == 2 and length > 0 then
                length = length - 1
            end
            if at == count then
                -- What is left ends in a slash.
                length = length + 1
                out[length] = ""
            end
        end
    end
    return "/" .. concat(out, "/", 1, length)
end


local function normalized(path)
    if find(path, "%00", 1, true) then
        return nil
    end
    path = gsub(path, "\\", "/")
    -- A dot segment with a parameter is one without.
    path = gsub(path, "(/%.%.?);[^/]*", "%1")
    path = gsub(path, "%%(%x%x)", decode)
    path = gsub(path, "[\"<>^`{|}]", encode)
    if find(path, "/.", 1, true) then
        path = without_dots(path)
    end
    return path
end


--- A function of a target that gives the path and query as Envoy's router sees them; or nil, a status with which the request
-- is answered, and maybe a location. Nil and what is wrong with the configuration.
function _M.compile(conf)
    local wrong = plugin.wrong(conf, {normalize = "boolean?", merge_slashes = "boolean?", escaped_slashes = "string?"},
        "path")
    if wrong then
        return nil, wrong
    end
    local slashes = conf.escaped_slashes
    if slashes and not SLASHES[slashes] then
        return nil, "path.escaped_slashes " .. slashes .. " is not known to this version"
    end
    local normalize, merge = conf.normalize, conf.merge_slashes

    return function(target)
        -- Most paths have nothing of what is looked for below.
        if not find(target, "[%%\\\"<>^`{|}#]") and not find(target, "/.", 1, true) and not find(target, "//", 1, true) then
            return target
        end
        if find(target, "#", 1, true) then
            return nil, 400
        end
        local question = find(target, "?", 1, true)
        local path = question and sub(target, 1, question - 1) or target
        local query = question and sub(target, question) or ""
        local redirects = false
        if slashes and find(path, "%%[25][fFcC]") then
            local unescaped, count = gsub(path, "%%2[fF]", "/")
            local both, more = gsub(unescaped, "%%5[cC]", "\\")
            if count + more > 0 then
                if slashes == "reject" then
                    return nil, 400
                end
                path, redirects = both, slashes == "redirect"
            end
        end
        if normalize then
            path = normalized(path)
            if not path then
                return nil, 400
            end
        end
        if merge then
            path = gsub(path, "//+", "/")
        end
        if redirects then
            return nil, 307, path .. query
        end
        return path .. query
    end
end


--- A function of a path and query that gives them changed; nil and what is wrong. Where a part is cut off it wants the
-- context too: the route was chosen by the path as nginx reads it, and where that begins otherwise, it is cut off that.
function _M.rewrite(conf, nginx)
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
    return function(target, ctx)
        local question = find(target, "?", 1, true)
        local path = question and sub(target, 1, question - 1) or target
        local query = question and sub(target, question) or ""
        if cut then
            local read = nginx.var(ctx, "uri")
            if read and sub(path, 1, cut) ~= sub(read, 1, cut) then
                path = nginx.escape(read)
            end
        end
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
