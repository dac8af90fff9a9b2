local case = require("plugin_case")
local fake = require("fake")
local mirror = require("amesh.plugin.mirror")
local plugin = require("amesh.plugin")
local equal = fake.equal


--- The copies that are sent of a request, as "upstream host".
local function copies(list, host, random)
    local nginx = case.nginx({random = random})
    local sent = {}
    local read = 0
    function nginx.request()
        read = read + 1
        return {host = host or "a.example"}
    end
    function nginx.send_copy(_, _, id, with)
        sent[#sent + 1] = id .. " " .. with
    end
    local made = plugin.of(mirror, nginx)
    local conf = {copies = list}
    assert(made.check_schema(conf))
    made.before_proxy(conf, {})
    assert(read <= 1, "the request is read once")
    return table.concat(sent, ", "), read
end


-- Names in brackets are those of the observations of a real Envoy.
return {
    {"each copy goes to its own upstream [SEM-Y01]", function()
        equal(copies({{upstream_id = "two"}, {upstream_id = "three"}}), "two a.example-shadow, three a.example-shadow")
    end},
    {"hosts of copies [SEM-Y01]", function()
        equal(copies({{upstream_id = "two", keep_host = true}}), "two a.example")
        equal(copies({{upstream_id = "two", host = "m"}}), "two m")
        equal(copies({{upstream_id = "two"}}, "a.example:8080"), "two a.example-shadow:8080")
        equal(copies({{upstream_id = "two"}}, "[::1]:80"), "two [::1]-shadow:80")
        equal(copies({{upstream_id = "two"}}, "[::1]"), "two [::1]-shadow")
    end},
    {"parts of the requests, in millionths", function()
        local list = {{upstream_id = "two", part = {numerator = 5000, denominator = 1000000}}, {upstream_id = "three"}}
        equal(copies(list, nil, {4999}), "two a.example-shadow, three a.example-shadow")
        equal(copies(list, nil, {5000}), "three a.example-shadow")
    end},
    {"a request of which there is no copy is not read", function()
        local sent, read = copies({{upstream_id = "two", part = {numerator = 1, denominator = 100}}}, nil, {1})
        equal(sent, "")
        equal(read, 0)
    end},
    {"what is not understood is refused", function()
        fake.contains(case.refused(mirror, {}), "copies is missing")
        fake.contains(case.refused(mirror, {copies = {{}}}), "copies[1].upstream_id is missing")
        fake.contains(case.refused(mirror, {copies = {{upstream_id = "a", path = "/"}}}), "path is not known")
    end},
}
