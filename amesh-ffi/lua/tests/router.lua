--- The tests of the router that need nothing but LuaJIT: `luajit amesh-ffi/lua/tests/router.lua`.
--
-- With AMESH_APISIX_HOME, a folder with APISIX and what it depends on, conditions are also compared with
-- lua-resty-expr. Exit status 1 when a test fails.

local here = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/../?.lua;" .. here .. "/?.lua;" .. package.path

local passed, failed, skipped = 0, 0, 0
local t = {home = os.getenv("AMESH_APISIX_HOME")}

--- A value as a text in which equal values are equal.
function t.text(value)
    if type(value) ~= "table" then
        return type(value) == "string" and string.format("%q", value) or tostring(value)
    end
    local parts = {}
    for key, one in pairs(value) do
        parts[#parts + 1] = "[" .. t.text(key) .. "]=" .. t.text(one)
    end
    table.sort(parts)
    return "{" .. table.concat(parts, ",") .. "}"
end

function t.equal(expected, actual, what)
    local a, b = t.text(expected), t.text(actual)
    if a ~= b then
        error((what or "") .. "\n  expected " .. a .. "\n  got      " .. b, 2)
    end
end

function t.test(name, body)
    local fine, err = xpcall(body, debug.traceback)
    if fine then
        passed = passed + 1
    else
        failed = failed + 1
        io.stderr:write("FAILED: ", name, "\n", err, "\n")
    end
end

function t.skip(why)
    skipped = skipped + 1
    io.stderr:write("SKIPPED: ", why, "\n")
end

for _, name in ipairs({"regex", "condition", "choice", "change", "random"}) do
    require("router." .. name)(t)
end

print(string.format("%d passed, %d failed, %d skipped", passed, failed, skipped))
os.exit(failed == 0 and 0 or 1)
