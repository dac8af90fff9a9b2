local answer = require("amesh.plugin.answer")
local case = require("plugin_case")
local fake = require("fake")
local equal = fake.equal


--- The location for a request; `http://a.example/p?q` unless told otherwise.
local function location(redirect, request)
    redirect.status = redirect.status or 301
    request = request or {}
    local status, body, headers = case.answer(answer, {redirect = redirect}, {
        target = request.target or "/p?q",
        var = {scheme = request.scheme or "http", http_host = request.host or "a.example"},
        headers = {["x-forwarded-proto"] = request.forwarded},
    })
    equal(status, redirect.status)
    equal(body, "")
    return headers.location
end


-- Names in brackets are those of the observations of a real Envoy.
return {
    {"a direct response [SEM-D01]", function()
        local status, body, headers = case.answer(answer, {direct = {status = 418, body = "short"}}, {})
        equal(status, 418)
        equal(body, "short")
        equal(headers["content-type"], "text/plain")
    end},
    {"no body, no type of one [SEM-D01]", function()
        for _, direct in ipairs({{status = 204}, {status = 200, body = ""}}) do
            local status, body, headers = case.answer(answer, {direct = direct}, {})
            equal(status, direct.status)
            equal(body, "")
            equal(headers["content-type"], nil)
        end
    end},
    {"bytes that are no text", function()
        local _, body = case.answer(answer, {direct = {status = 200, body_base64 = "/wA="}}, {})
        equal(body, "\255\0")
    end},
    {"scheme, host and path of the request [SEM-R02]", function()
        equal(location({host = "b.com"}), "http://b.com/p?q")
        equal(location({host = "b.com"}, {forwarded = "https"}), "https://b.com/p?q")
        equal(location({path = "/n"}, {host = "A.Example"}), "http://A.Example/n?q")
    end},
    {"hosts and ports [SEM-R03, SEM-R07]", function()
        equal(location({host = "b.com"}, {host = "rd:8080"}), "http://b.com/p?q")
        equal(location({host = "b.com:9000"}), "http://b.com:9000/p?q")
        equal(location({port = 9000}, {host = "rd:8080"}), "http://rd:9000/p?q")
        equal(location({host = "b.com", port = 9000}), "http://b.com:9000/p?q")
        equal(location({path = "/n"}, {host = "rd:80"}), "http://rd:80/n?q")
        equal(location({port = 9000}, {host = "[::1]:80"}), "http://[::1]:9000/p?q")
        equal(location({port = 9000}, {host = "[::1]"}), "http://[::1]:9000/p?q")
    end},
    {"the default port goes when the scheme changes [SEM-R04, SEM-R05]", function()
        equal(location({scheme = "https"}, {host = "rd:80"}), "https://rd/p?q")
        equal(location({scheme = "https"}, {host = "rd:8080"}), "https://rd:8080/p?q")
        equal(location({scheme = "https"}, {host = "rd:443"}), "https://rd:443/p?q")
        equal(location({scheme = "http"}, {host = "rd:443"}), "http://rd:443/p?q")
        equal(location({scheme = "http"}, {host = "rd:443", forwarded = "https"}), "http://rd/p?q")
        equal(location({scheme = "https", port = 443}), "https://a.example:443/p?q")
    end},
    {"paths and queries [SEM-R06]", function()
        equal(location({path = "/n"}, {target = "/p"}), "http://a.example/n")
        equal(location({path = "/n?a=b"}), "http://a.example/n?a=b")
        equal(location({path = "/n?a=b", strip_query = true}), "http://a.example/n?a=b")
        equal(location({path = "/n", strip_query = true}), "http://a.example/n")
        equal(location({strip_query = true}), "http://a.example/p")
        equal(location({path = "/n"}, {target = "/p?a?b"}), "http://a.example/n?a?b")
    end},
    {"prefixes [SEM-W01, SEM-W03]", function()
        equal(location({rewrite = {cut = 4, put = "/new"}}, {target = "/oldx?q"}), "http://a.example/newx?q")
        equal(location({rewrite = {cut = 5, put = "/"}}, {target = "/old/x?q=1"}), "http://a.example/x?q=1")
        equal(location({rewrite = {put = "/new"}}, {target = "/rx/abc?q=1"}), "http://a.example/new?q=1")
    end},
    {"what is not understood is refused", function()
        fake.contains(case.refused(answer, {}), "must have one of direct and redirect")
        fake.contains(case.refused(answer, {direct = {status = 100}}), "direct.status must be from 200 to 599")
        fake.contains(case.refused(answer, {direct = {status = 200, body_base64 = "?"}}), "no base64")
        fake.contains(case.refused(answer, {direct = {status = 200, format = "x"}}), "direct.format is not known")
        fake.contains(case.refused(answer, {redirect = {status = 200}}), "redirect.status must be from 300 to 399")
        fake.contains(case.refused(answer, {redirect = {status = 301, rewrite = {cut = 1}}}), "rewrite.put is missing")
    end},
    {"what APISIX adds to every configuration is passed over", function()
        equal(case.answer(answer, {direct = {status = 200}, _meta = {}}, {}), 200)
    end},
}
