--- What Envoy's router does to a request on its way to an upstream.

local headers = require("amesh.plugin.headers")
local paths = require("amesh.path")
local plugin = require("amesh.plugin")
local rewrites = require("amesh.plugin.rewrite")
local weighted = require("amesh.plugin.weighted")

local _M = {
    name = "amesh-forward",
    -- Another try may be for a node of another name.
    every_try = true,
    priority = 10600,
}


-- A function that gives the new host for a request, or nil.
local function compile_host(conf, nginx)
    local wrong = plugin.wrong(conf, {literal = "string?", header = "string?", path = "table?", node = "boolean?"}, "host")
    if wrong then
        return nil, wrong
    end
    if conf.literal then
        local literal = conf.literal
        return function() return literal end
    elseif conf.header then
        local name = conf.header
        return function(ctx)
            local value = nginx.request_header(ctx, name)
            return value ~= "" and value or nil
        end
    elseif conf.path then
        local rewrite, err = rewrites.compile(conf.path, nginx)
        return rewrite and function(ctx) return rewrite((nginx.path(ctx):match("^[^?]*"))) end, err
    end
    -- The node is chosen later.
    return function() end
end


function _M.compile(conf, nginx)
    local wrong = plugin.wrong(conf, {
        clusters = "table?", headers = "table?", path = "table?", rewrite = "table?", host = "table?",
        append_forwarded_host = "boolean?",
    }, "amesh-forward")
    if wrong then
        return nil, wrong
    end
    local compiled = {append_forwarded_host = conf.append_forwarded_host, node = conf.host and conf.host.node}
    local err
    compiled.steps, err = headers.compile(conf.headers or {})
    if compiled.steps and conf.path then
        compiled.form, err = paths.compile(conf.path)
    end
    if not err and conf.rewrite then
        compiled.rewrite, err = rewrites.compile(conf.rewrite, nginx)
    end
    if not err and conf.clusters then
        compiled.choose, err = weighted.compile(conf.clusters, nginx)
    end
    if not err and conf.host then
        compiled.host, err = compile_host(conf.host, nginx)
    end
    if err then
        return nil, err
    end
    return compiled
end


local function set_host(forward, host, ctx, nginx)
    local before = nginx.host(ctx)
    nginx.request_headers.set(ctx, "x-envoy-original-host", before)
    if forward.append_forwarded_host then
        -- APISIX has put the host of this request there.
        local sent = nginx.var(ctx, "original_x_forwarded_host")
        nginx.request_headers.set(ctx, "x-forwarded-host", sent and sent ~= "" and sent .. "," .. before or before)
    end
    nginx.set_upstream_host(ctx, host)
    ctx.amesh_host = host
end


function _M.rewrite(forward, ctx, nginx)
    local sent = nginx.target(ctx)
    local path = sent
    if forward.form then
        local status, location
        path, status, location = forward.form(sent)
        if not path then
            nginx.set_response_header("Location", location)
            return nginx.answer(status, "")
        end
        ctx.amesh_path = path
    end
    if forward.choose then
        local member = forward.choose(ctx)
        ctx.amesh_cluster, ctx.amesh_response = member.cluster, member.response
        if member.status then
            return nginx.answer(member.status, "")
        end
        ctx.upstream_id = member.upstream_id
        headers.apply(member.request, ctx, nginx, nginx.request_headers)
        if member.host then
            nginx.set_upstream_host(ctx, member.host)
            ctx.amesh_host = member.host
        end
    end
    headers.apply(forward.steps, ctx, nginx, nginx.request_headers)
    if forward.host then
        local host = forward.host(ctx)
        if host then
            set_host(forward, host, ctx, nginx)
        end
    end
    if forward.rewrite then
        nginx.request_headers.set(ctx, "x-envoy-original-path", path)
        path = forward.rewrite(path)
        ctx.amesh_path = path
    end
    if path ~= sent then
        nginx.set_upstream_path(ctx, path)
    end
end


function _M.before_proxy(forward, ctx, nginx)
    if forward.node then
        local host = nginx.node_name(ctx)
        if host then
            set_host(forward, host, ctx, nginx)
        end
    end
    local path = ctx.amesh_path
    if path and path ~= nginx.target(ctx) and nginx.is_grpc(ctx) then
        nginx.set_grpc_path(path)
    end
end


return _M
