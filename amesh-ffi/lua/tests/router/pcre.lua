--- `ngx.re.find` and `ngx.re.match` for a LuaJIT without nginx, by the library that nginx has.

local ffi = require("ffi")

ffi.cdef [[
    typedef struct amesh_code amesh_code;
    typedef struct amesh_match amesh_match;
    amesh_code *pcre2_compile_8(const char *, size_t, uint32_t, int *, size_t *, void *);
    amesh_match *pcre2_match_data_create_from_pattern_8(const amesh_code *, void *);
    int pcre2_match_8(const amesh_code *, const char *, size_t, size_t, uint32_t, amesh_match *, void *);
    size_t *pcre2_get_ovector_pointer_8(amesh_match *);
]]

local pcre = ffi.load("libpcre2-8.so.0")
local CASELESS = 0x8
local UNSET = ffi.cast("size_t", -1)

local compiled = {}

local function compile(pattern, flags)
    local caseless = flags:find("i", 1, true) and CASELESS or 0
    local key = caseless .. pattern
    if compiled[key] == nil then
        local code, at = ffi.new("int[1]"), ffi.new("size_t[1]")
        local regex = pcre.pcre2_compile_8(pattern, #pattern, caseless, code, at, nil)
        compiled[key] = regex ~= nil and {regex, pcre.pcre2_match_data_create_from_pattern_8(regex, nil)} or false
    end
    return compiled[key]
end

local function run(subject, pattern, flags)
    local found = compile(pattern, flags or "")
    if not found then
        return nil
    end
    local count = pcre.pcre2_match_8(found[1], subject, #subject, 0, 0, found[2], nil)
    return count > 0 and count or nil, pcre.pcre2_get_ovector_pointer_8(found[2])
end

local _M = {}

function _M.find(subject, pattern, flags)
    local count, at = run(tostring(subject), pattern, flags)
    if count then
        return tonumber(at[0]) + 1, tonumber(at[1])
    end
    return nil
end

function _M.match(subject, pattern, flags)
    local count, at = run(subject, pattern, flags)
    if not count then
        return nil
    end
    local found = {}
    for index = 0, count - 1 do
        if at[2 * index] == UNSET then
            found[index] = false
        else
            found[index] = subject:sub(tonumber(at[2 * index]) + 1, tonumber(at[2 * index + 1]))
        end
    end
    return found
end

return _M
