--- Cross-origin requests: preflight requests are answered, and browsers are told that they may read responses.

local part = require("amesh.plugin.part")
local plugin = require("amesh.plugin")

local ipairs = ipairs

local _M = {
    name = "amesh-cors",
    priority = 10800,
}


function _M.compile(conf, nginx)
    local wrong = plugin.wrong(conf, {
        origins = "table", methods = "string?", headers = "string?", expose = "string?", max_age = "string?",
        credentials = "boolean?", private_network = "boolean?", answers_others = "boolean?", part = "table?",
    }, "amesh-cors") or conf.part and part.wrong(conf.part, "amesh-cors.part")
    if wrong then
        return nil, wrong
    end
    local tests = {}
    for index, origin in ipairs(conf.origins) do
        local test, err = nginx.conditions({{"origin", "~~", origin}})
        if not test then
            return nil, err
        end
        tests[index] = test
    end
    local function allows(origin)
        local values = {origin = origin}
        for _, test in ipairs(tests) do
            if test(values) then
                return true
            end
        end
        return false
    end
    -- To Envoy a pattern that takes the asterisk takes every origin.
    local any = allows("*")
    return {conf = conf, allows = function(origin)
        return any or allows(origin)
    end}
end


local function answer_preflight(conf, asked_method, ctx, nginx)
    local set = nginx.set_response_header
    if conf.credentials then
        set("Access-Control-Allow-Credentials", "true")
    end
    set("Access-Control-Allow-Methods", conf.methods == "*" and asked_method or conf.methods)
    if conf.headers == "*" then
        set("Access-Control-Allow-Headers", nginx.var(ctx, "http_access_control_request_headers") or "")
    else
        set("Access-Control-Allow-Headers", conf.headers)
    end
    set("Access-Control-Max-Age", conf.max_age)
    if conf.private_network and nginx.var(ctx, "http_access_control_request_private_network") == "true" then
        set("Access-Control-Allow-Private-Network", "true")
    end
    return nginx.answer(200, "")
end


function _M.rewrite(policy, ctx, nginx)
    local conf = policy.conf
    if conf.part and not part.drawn(conf.part, nginx) then
        return nil
    end
    local origin = nginx.var(ctx, "http_origin")
    if not origin or origin == "" then
        return nil
    end
    local allowed = policy.allows(origin)
    ctx.amesh_cors_origin = allowed and origin or nil
    if nginx.var(ctx, "request_method") ~= "OPTIONS" then
        return nil
    end
    local asked_method = nginx.var(ctx, "http_access_control_request_method")
    if not asked_method or asked_method == "" or not allowed and not conf.answers_others then
        return nil
    end
    return answer_preflight(conf, asked_method, ctx, nginx)
end


function _M.header_filter(policy, ctx, nginx)
    local origin, conf, set = ctx.amesh_cors_origin, policy.conf, nginx.set_response_header
    if not origin then
        return
    end
    set("Access-Control-Allow-Origin", origin)
    if conf.credentials then
        set("Access-Control-Allow-Credentials", "true")
    end
    if conf.expose then
        set("Access-Control-Expose-Headers", conf.expose)
    end
end


return _M
