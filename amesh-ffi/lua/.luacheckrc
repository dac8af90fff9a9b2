std = "ngx_lua"
max_line_length = 125
-- Stand-ins of objects leave out the arguments that they do not need.
self = false
