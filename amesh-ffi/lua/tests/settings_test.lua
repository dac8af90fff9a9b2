local fake = require("fake")
local settings = require("amesh.settings")
local equal = fake.equal

local function read(attr)
    return settings.read({plugin_attr = {amesh = attr}})
end

return {
    {"nothing is set", function()
        for _, conf in ipairs({{}, {plugin_attr = {}}}) do
            local got = settings.read(conf)
            equal(got.config_dict, "xds-config")
            equal(got.version_dict, "xds-config-version")
            equal(got.poll_interval, 1)
            equal(got.start_wait, 3)
            equal(got.library, nil)
            equal(got.wake_socket, nil)
            equal(next(got.library_settings), nil)
        end
    end},
    {"everything is set", function()
        local attr = {config_dict = "a", version_dict = "b", library = "/l.so", wake_socket = "/s", poll_interval = 5,
                      start_wait = 0, anything = "for the library"}
        local got = read(attr)
        for name, value in pairs(attr) do
            equal(got[name] or got.library_settings[name], value, name)
        end
        equal(got.library_settings.wake_socket, "/s", "for both")
        for _, name in ipairs({"config_dict", "version_dict", "library", "poll_interval", "start_wait"}) do
            equal(got.library_settings[name], nil, "the library does not know " .. name)
        end
    end},
    {"what is wrong is named", function()
        fake.contains(select(2, read({library = 7})), "plugin_attr.amesh.library must be a text")
        fake.contains(select(2, read({wake_socket = ""})), "wake_socket must be")
        fake.contains(select(2, read({poll_interval = "1"})), "poll_interval must be a number")
        fake.contains(select(2, read({poll_interval = 0})), "poll_interval must be a number")
        fake.contains(select(2, read({start_wait = -1})), "start_wait must be a number of seconds, 0 or more")
        fake.contains(select(2, read("text")), "plugin_attr.amesh must be a map")
    end},
}
