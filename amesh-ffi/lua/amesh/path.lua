--- Paths as Envoy's connection manager writes them. A query stays as it is.
--
-- They are also variables for the conditions of routes: nginx's own `uri` is decoded, its dot segments resolved and its
-- slashes merged, whatever Envoy would do. The name of a variable says what is done: `amesh_path` is the path as it was
-- sent, `amesh_path_normalized`, `amesh_path_merged` and `amesh_path_unescaped` what `normalize`, `merge_slashes` and
-- `escaped_slashes` make of it; more than one in that order, as `amesh_path_normalized_merged`.

local plugin = require("amesh.plugin")

local byte, char, find, format, gsub, sub = string.byte, string.char, string.find, string.format, string.gsub, string.sub
local concat = table.concat
local ipairs, pairs, tonumber = ipairs, pairs, tonumber

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


-- A target without its query.
local function without_query(target)
    local question = find(target, "?", 1, true)
    return question and sub(target, 1, question - 1) or target
end


--- The names of the variables, and functions of a target that give their values. What Envoy refuses is refused by the plugin
-- that forwards; until then it is looked for as it was sent.
function _M.variables()
    local variables = {}
    for _, normalize in ipairs({false, true}) do
        for _, merge in ipairs({false, true}) do
            for _, unescape in ipairs({false, true}) do
                local form = _M.compile({
                    normalize = normalize, merge_slashes = merge, escaped_slashes = unescape and "unescape" or nil,
                })
                local name = "amesh_path" .. (normalize and "_normalized" or "") .. (merge and "_merged" or "")
                    .. (unescape and "_unescaped" or "")
                variables[name] = function(target)
                    return without_query(form(target) or target)
                end
            end
        end
    end
    return variables
end


--- Makes the variables known to APISIX; `register` is `core.ctx.register_var`.
function _M.register(register)
    for name, value in pairs(_M.variables()) do
        register(name, function(ctx)
            local var = ctx.var
            return value(var.real_request_uri or var.request_uri)
        end)
    end
end


return _M
