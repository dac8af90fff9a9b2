-- Runs the tests that need LuaJIT alone: `luajit tests/run.lua [NAME...]` in `amesh-ffi/lua`.
-- A test file returns a list of `{name, function}`. The last line counts them.

package.path = "./?.lua;./tests/?.lua;" .. package.path

local FILES = {
    "agent_test", "balancer_hash_test", "balancer_least_request_test", "balancer_original_dst_test",
    "balancer_random_test", "balancer_slow_start_test", "counts_test", "hook_test", "journal_test", "kind_test",
    "loop_test", "manifest_test", "metrics_test", "plugin_answer_test", "plugin_cors_test", "plugin_fault_test",
    "plugin_fixture_test", "plugin_forward_test", "plugin_hash_test", "plugin_headers_test", "plugin_limit_test",
    "plugin_manager_test", "plugin_mirror_test", "plugin_retry_test", "property_test", "provider_test",
    "settings_test", "wakeup_test", "workers_test",
}

local wanted = {}
for _, name in ipairs(arg) do
    wanted[name] = true
end

local passed, failed = 0, 0
for _, file in ipairs(FILES) do
    if not next(wanted) or wanted[file] then
        for _, test in ipairs(require(file)) do
            local ok, err = xpcall(test[2], debug.traceback)
            if ok then
                passed = passed + 1
                print("ok      " .. file .. ": " .. test[1])
            else
                failed = failed + 1
                print("FAILED  " .. file .. ": " .. test[1] .. "\n" .. tostring(err))
            end
        end
    end
end

print(("%d passed, %d failed"):format(passed, failed))
os.exit(failed == 0 and passed > 0 and 0 or 1)
