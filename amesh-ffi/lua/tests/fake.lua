--- Stand-ins for what APISIX and nginx offer. Values are written as Lua tables, so no JSON library is needed.

local _M = {}


--- A shared dictionary. Keys come in no order, as from the real one.
function _M.dict()
    local data, order = {}, {}
    local self = {data = data}
    function self.get(_, key) return data[key] end
    function self.set(_, key, value)
        key = tostring(key)
        if data[key] == nil then
            table.insert(order, math.random(#order + 1), key)
        end
        data[key] = value
        return true
    end
    self.safe_set = self.set
    function self.incr(_, key, by, init)
        if not data[key] and (not init or self.full) then
            return nil, init and "no memory" or "not found"
        end
        self:set(key, (data[key] or init) + by)
        return data[key]
    end
    -- What is added with a time is there until the test deletes it.
    function self.add(_, key, value)
        return data[key] == nil and self:set(key, value)
    end
    function self.delete(_, key)
        data[tostring(key)] = nil
        for index, other in ipairs(order) do
            if other == tostring(key) then
                table.remove(order, index)
                break
            end
        end
    end
    function self.get_keys()
        local keys = {}
        for _, key in ipairs(order) do
            if not self.unlisted[key] then
                keys[#keys + 1] = key
            end
        end
        return keys
    end
    -- What a process that is killed in the middle of a call does to nginx's list.
    self.unlisted = {}
    return self
end


--- What is logged, by level.
function _M.log()
    local lines = {error = {}, warn = {}}
    local self = {lines = lines}
    for level, list in pairs(lines) do
        self[level] = function(...)
            local parts = {}
            for index = 1, select("#", ...) do
                parts[index] = tostring((select(index, ...)))
            end
            list[#list + 1] = table.concat(parts)
        end
    end
    return self
end


--- Reads `{n = 1}`, and JSON without arrays that hold something.
function _M.decode(text)
    text = text:gsub('"(%a+)":', "%1="):gsub("%[%]", "{}")
    local chunk, err = loadstring("return " .. text)
    if not chunk then
        return nil, err
    end
    setfenv(chunk, {})
    return chunk()
end


function _M.hash(text)
    local hash = 5381
    for index = 1, #text do
        hash = (hash * 33 + text:byte(index)) % 4294967296
    end
    return hash
end


--- The schema of the tests is a function.
function _M.check_schema(schema, value)
    return schema(value)
end


--- A provider over fresh dictionaries; `over` replaces what it works with.
function _M.provider(over)
    local deps = {
        config = _M.dict(),
        versions = _M.dict(),
        decode = _M.decode,
        check_schema = _M.check_schema,
        hash = _M.hash,
        log = _M.log(),
        local_conf = function() return {} end,
        in_agent = function() return false end,
        on_init_worker = function() end,
        start_wait = 0,
        pause = function() error("nobody waits") end,
        start = function() end,
    }
    for name, value in pairs(over or {}) do
        deps[name] = value
    end
    return require("amesh.provider").new(deps), deps
end


function _M.equal(got, want, what)
    if got ~= want then
        error((what or "value") .. ": got " .. tostring(got) .. ", want " .. tostring(want), 2)
    end
end


function _M.contains(text, part)
    if not (text and text:find(part, 1, true)) then
        error("no " .. part .. " in " .. tostring(text), 2)
    end
end


--- What `ngx.decode_base64` does: nil for what is no base64.
function _M.decode_base64(text)
    local digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    if not text:match("^[%w+/]*=?=?$") then
        return nil
    end
    local bits = text:gsub("=", ""):gsub(".", function(digit)
        local value, out = digits:find(digit, 1, true) - 1, ""
        for power = 5, 0, -1 do
            out = out .. math.floor(value / 2 ^ power) % 2
        end
        return out
    end)
    return (bits:sub(1, #bits - #bits % 8):gsub("%d%d%d%d%d%d%d%d", function(byte)
        return string.char(tonumber(byte, 2))
    end))
end


return _M
