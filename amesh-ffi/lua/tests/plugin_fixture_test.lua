--- Every configuration of a plugin of ours in the fixtures is one that the plugin takes.

local case = require("plugin_case")
local fake = require("fake")
local json_read = require("json_read")
local plugin = require("amesh.plugin")


local function lines()
    local found = assert(io.popen("grep -rh --include=*.out.yaml -e '^ *plugins: .*\"amesh-' ../../fixtures"))
    return found:lines()
end


return {
    {"the package adds its own plugins to those that are named, once", function()
        local names = {"cors", "amesh-status"}
        plugin.add_own(names)
        plugin.add_own(names)
        local all = table.concat(names, " ")
        fake.equal(all:sub(1, 17), "cors amesh-status")
        local files = assert(io.popen("ls apisix/plugins"))
        for file in files:lines() do
            local name = file:gsub("%.lua$", "")
            assert((" " .. all .. " "):find(" " .. name .. " ", 1, true), name .. " is not added")
            all = (" " .. all .. " "):gsub(" " .. name:gsub("%-", "%%-") .. " ", " ", 1)
        end
        fake.equal(all:match("^%s*(.-)%s*$"), "cors", "each once, and each with a file")
    end},
    {"plugins take what the fixtures have", function()
        local seen = {}
        for line in lines() do
            for name, conf in pairs(json_read(line:match("plugins: (.*)$"))) do
                if name:find("^amesh%-") then
                    local module = require("amesh.plugin." .. name:sub(7):gsub("-", "_"))
                    local ok, err = plugin.of(module, case.nginx({})).check_schema(conf)
                    assert(ok, ("%s: %s"):format(line, err))
                    assert(module.name == name, name)
                    seen[name] = (seen[name] or 0) + 1
                end
            end
        end
        assert(next(seen), "there are no such configurations")
    end},
}
