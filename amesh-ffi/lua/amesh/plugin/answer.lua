--- Answers without an upstream: Envoy's direct responses and redirects.

local location = require("amesh.plugin.location")
local manager = require("amesh.plugin.manager")
local plugin = require("amesh.plugin")

local _M = {
    name = "amesh-answer",
    -- Above every plugin of APISIX that could answer or change the request first.
    priority = 10700,
}

local function compile_direct(direct, nginx)
    local wrong = plugin.wrong(direct, {status = "number", body = "string?", body_base64 = "string?"}, "direct")
    if wrong then
        return nil, wrong
    end
    if direct.status < 200 or direct.status > 599 then
        return nil, "direct.status must be from 200 to 599"
    end
    local body = direct.body
    if direct.body_base64 then
        body = nginx.decode_base64(direct.body_base64)
        if not body then
            return nil, "direct.body_base64 is no base64"
        end
    end
    return {status = direct.status, body = body ~= "" and body or nil}
end


local function compile_redirect(redirect, nginx)
    local made, err = location.compile(redirect, nginx)
    return made and {status = redirect.status, location = made}, err
end


function _M.compile(conf, nginx)
    local wrong = plugin.wrong(conf, {direct = "table?", redirect = "table?", manager = "table?"}, "amesh-answer")
    if wrong then
        return nil, wrong
    end
    if (conf.direct ~= nil) == (conf.redirect ~= nil) then
        return nil, "amesh-answer must have one of direct and redirect"
    end
    local compiled, err
    if conf.direct then
        compiled, err = compile_direct(conf.direct, nginx)
    else
        compiled, err = compile_redirect(conf.redirect, nginx)
    end
    if not compiled then
        return nil, err
    end
    compiled.manager, err = manager.compile(conf.manager)
    return compiled.manager and compiled, err
end


function _M.rewrite(answer, ctx, nginx)
    manager.request(answer.manager, ctx, nginx)
    if answer.location then
        local place, status, elsewhere = answer.location(ctx)
        if not place and not elsewhere then
            return nginx.answer(status, "")
        end
        nginx.set_response_header("Location", place or elsewhere)
        return nginx.answer(place and answer.status or status, "")
    end
    return nginx.answer(answer.status, answer.body or "", answer.body and "text/plain")
end


function _M.header_filter(answer, ctx, nginx)
    manager.answer(answer.manager, ctx, nginx)
end


return _M
