--- The objects of one kind, as APISIX's modules hold them: what `core.config.new` returns.
--
-- An item whose text did not change stays the same Lua table with the same `modifiedIndex`: APISIX keeps resolved
-- nodes, merged plugins and health checks in it or by it. One whose new text is refused keeps its last good value.
--
-- What APISIX reads: `get`, `values` (with `false` in place of a deleted item), `conf_version`. The rest is private.

local setmetatable = setmetatable
local tostring = tostring
local pcall = pcall
local pairs = pairs
local ipairs = ipairs
local type = type

-- Deleted items leave a hole that readers skip. So many holes, and the array is made anew.
local COMPACT_AFTER = 100

local Kind = {}

local mt = {
    __index = Kind,
    __tostring = function(self)
        return "amesh: " .. tostring(self.key)
    end,
}

local _M = {}


--- @param key `/routes`, or nil for an object without a kind
-- @param opts what APISIX passes: `single_item`, `item_schema`, `checker`, `filter`
-- @param deps `decode`, `check_schema`, `hash` (text to a number), `log`
function _M.new(key, opts, deps)
    opts = opts or {}
    return setmetatable({
        key = key,
        single_item = opts.single_item,
        item_schema = opts.item_schema,
        checker = opts.checker,
        filter = opts.filter,
        deps = deps,
        values = {},
        values_hash = {},
        conf_version = 0,
        count = 0,
        holes = 0,
        -- by id: the text of the item in `values`, and what was refused since
        texts = {},
        rejected = {},
        rejected_count = 0,
        -- of the run that is under way
        changes = {},
        subscribers = {},
    }, mt)
end


function Kind:get(id)
    local index = self.values_hash[tostring(id)]
    return index and self.values[index] or nil
end


local function tell(self, fn, changes)
    local called, reason = pcall(fn, changes)
    if not called then
        self.deps.log.error("amesh: a reader of ", self.key, " failed: ", tostring(reason))
    end
end


--- Has `fn` called with a list of `{old = item or nil, new = item or nil}` after each run that changed something, and
-- at once with what is there already.
function Kind:subscribe(fn)
    self.subscribers[#self.subscribers + 1] = fn

    local present = {}
    for _, item in ipairs(self.values) do
        if item then
            present[#present + 1] = {new = item}
        end
    end
    if present[1] then
        tell(self, fn, present)
    end
end


-- The item that `text` is, or nil and why it is refused.
local function read_item(self, id, key, text)
    local deps = self.deps
    local value, err = deps.decode(text)
    if value == nil then
        return nil, "it is not JSON: " .. tostring(err)
    end

    if not self.single_item then
        if type(value) ~= "table" then
            return nil, "it should be an object"
        end
        -- Some checkers read the id; some schemas know none, so one that is absent is set only after the checks.
        if value.id ~= nil then
            value.id = id
        end
    end

    if self.item_schema then
        local ok, reason = deps.check_schema(self.item_schema, value)
        if not ok then
            return nil, tostring(reason)
        end
    end

    if self.checker then
        local called, ok, reason = pcall(self.checker, value, key)
        if not called then
            return nil, "the check failed: " .. tostring(ok)
        end
        if not ok then
            return nil, tostring(reason)
        end
    end

    if not self.single_item then
        value.id = id
    end

    -- Made of the content, so it is equal in every worker and again after a reload.
    local item = {key = key, modifiedIndex = deps.hash(text), value = value}
    if self.filter and not self.single_item then
        local called, reason = pcall(self.filter, item)
        if not called then
            return nil, "it cannot be prepared: " .. tostring(reason)
        end
    end
    return item
end


local function set_rejected(self, slot, entry)
    local before = self.rejected[slot]
    if entry and not before then
        self.rejected_count = self.rejected_count + 1
    elseif before and not entry then
        self.rejected_count = self.rejected_count - 1
    end
    self.rejected[slot] = entry
end


local function reject(self, slot, key, text, err)
    local before = self.rejected[slot]
    if not (before and before.text == text and before.err == err) then
        self.deps.log.error("amesh: ", key, " is refused, ",
                            self.values_hash[slot] and "its previous value stays" or "there is no previous value",
                            ": ", err)
    end
    set_rejected(self, slot, {key = key, text = text, err = err})
end


local function remove(self, slot)
    set_rejected(self, slot, nil)

    local index = self.values_hash[slot]
    if not index then
        return
    end
    local old = self.values[index]
    self.values[index] = false
    self.values_hash[slot] = nil
    self.texts[slot] = nil
    self.count = self.count - 1
    self.holes = self.holes + 1
    self.changes[#self.changes + 1] = {old = old}
end


local function put(self, slot, item, text)
    local index = self.values_hash[slot]
    local old
    if index then
        old = self.values[index]
    else
        index = #self.values + 1
        self.count = self.count + 1
    end
    self.values[index] = item
    self.values_hash[slot] = index

    -- The list of plugins loads them in its filter, which wants the item in its place.
    if self.filter and self.single_item then
        local called, reason = pcall(self.filter, item)
        if not called then
            self.deps.log.error("amesh: ", item.key, " cannot be put to use: ", tostring(reason))
        end
    end

    self.texts[slot] = text
    self.changes[#self.changes + 1] = {old = old, new = item}
end


--- Makes the item of `key` what `text` says; nil deletes it.
-- @param again checks a text that was refused before once more: what it depends on may have changed
function Kind:apply(id, key, text, again)
    local slot = self.single_item and self.key or id
    if text == nil then
        return remove(self, slot)
    end
    if text == self.texts[slot] then
        return set_rejected(self, slot, nil)
    end
    local before = self.rejected[slot]
    if before and before.text == text and not again then
        return
    end

    local item, err = read_item(self, id, key, text)
    if not item then
        return reject(self, slot, key, text, err)
    end
    set_rejected(self, slot, nil)
    put(self, slot, item, text)
end


--- Checks once more what was refused.
function Kind:retry()
    if self.rejected_count == 0 then
        return
    end
    local refused = {}
    for slot, entry in pairs(self.rejected) do
        refused[slot] = entry
    end
    for slot, entry in pairs(refused) do
        self:apply(slot, entry.key, entry.text, true)
    end
end


--- Deletes what is not among `present`, a set of ids.
function Kind:keep_only(present)
    local gone = {}
    for slot in pairs(self.values_hash) do
        gone[slot] = not present[slot] or nil
    end
    for slot in pairs(self.rejected) do
        gone[slot] = not present[slot] or nil
    end
    for slot in pairs(gone) do
        remove(self, slot)
    end
end


-- A new array, so that somebody who is reading the old one reads on.
local function compact(self)
    local values, hash = {}, {}
    local slots = {}
    for slot, index in pairs(self.values_hash) do
        slots[index] = slot
    end
    for index, item in ipairs(self.values) do
        if item then
            values[#values + 1] = item
            hash[slots[index]] = #values
        end
    end
    self.values, self.values_hash, self.holes = values, hash, 0
end


--- Ends a run: moves `conf_version` where something changed.
-- @return the changes for `notify`, or nil
function Kind:finish()
    local changes = self.changes
    if not changes[1] then
        return nil
    end
    self.changes = {}
    self.conf_version = self.conf_version + 1
    if self.holes > COMPACT_AFTER then
        compact(self)
    end
    return changes
end


--- Tells the subscribers. Apart from `finish`, so that whoever is told finds all kinds as they are now.
function Kind:notify(changes)
    for _, fn in ipairs(self.subscribers) do
        tell(self, fn, changes)
    end
end


--- Contract of APISIX: nobody is to be kept in step any more.
function Kind:close()
    self.closed = true
end


--- Contract of APISIX: asked for by its metrics.
function Kind:server_version()
    return "amesh"
end


return _M
