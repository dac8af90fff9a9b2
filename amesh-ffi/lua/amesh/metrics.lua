--- The status as Prometheus text.
--
-- What the library says is rendered by its shape, so that it can say more without a change here: a number or a boolean
-- is a metric named by where it stands; below a map that is in `LABELS`, the names in it are values of a label.

local concat = table.concat
local ipairs = ipairs
local pairs = pairs
local sort = table.sort
local tostring = tostring
local type = type

-- The maps of the library's status whose names are data.
local LABELS = {types = "type", objects = "kind", findings = "rule"}

-- A text or null: whether there is one is the metric.
local TOLD = {connected = true, error = true, failure = true}

local _M = {}


local function escape(text)
    return (tostring(text):gsub("\\", "\\\\"):gsub('"', '\\"'):gsub("\n", "\\n"))
end


local function sorted_keys(map)
    local keys = {}
    for key in pairs(map) do
        if type(key) == "string" then
            keys[#keys + 1] = key
        end
    end
    sort(keys)
    return keys
end


-- Samples of one name have to stand together.
local function add(samples, name, labels, value)
    if type(value) == "boolean" then
        value = value and 1 or 0
    end
    if type(value) ~= "number" then
        return
    end
    local list = samples[name]
    if not list then
        list = {}
        samples[name] = list
    end
    list[#list + 1] = (labels ~= "" and "{" .. labels .. "}" or "") .. " " .. ("%.14g"):format(value)
end


local function with_label(labels, name, value)
    return (labels ~= "" and labels .. "," or "") .. name .. '="' .. escape(value) .. '"'
end


local function walk(samples, name, labels, value)
    if type(value) ~= "table" then
        return add(samples, name, labels, value)
    end
    for _, key in ipairs(sorted_keys(value)) do
        local child = value[key]
        local label = LABELS[key]
        if label and type(child) == "table" then
            for _, entry in ipairs(sorted_keys(child)) do
                walk(samples, name .. "_" .. key, with_label(labels, label, entry), child[entry])
            end
        elseif TOLD[key] then
            add(samples, name .. "_" .. key, labels, type(child) == "string")
        else
            walk(samples, name .. "_" .. key:gsub("[^%w_]", "_"), labels, child)
        end
    end
end


--- @param status what `amesh.status` collects
function _M.render(status)
    local samples = {}
    add(samples, "amesh_up", "", status.library ~= nil)
    add(samples, "amesh_version", "", status.version)
    if type(status.library) == "table" then
        walk(samples, "amesh", "", status.library)
    end
    for _, worker in ipairs(status.workers) do
        local labels = with_label(with_label("", "subsystem", worker.subsystem), "worker", worker.worker)
        add(samples, "amesh_worker_version", labels, worker.version or 0)
        add(samples, "amesh_worker_rejected_objects", labels, worker.rejected_count)
        add(samples, "amesh_worker_error", labels, worker.error ~= nil)
        for _, kind in ipairs(sorted_keys(worker.objects or {})) do
            add(samples, "amesh_worker_objects", with_label(labels, "kind", kind), worker.objects[kind])
        end
    end

    local lines = {}
    for _, name in ipairs(sorted_keys(samples)) do
        lines[#lines + 1] = "# TYPE " .. name .. " gauge"
        for _, sample in ipairs(samples[name]) do
            lines[#lines + 1] = name .. sample
        end
    end
    return concat(lines, "\n") .. "\n"
end


return _M
