-- `luacheck reactions/lua`, for those who have it; `make test` runs tests/house/luacheck.py instead.
std = "lua51"
read_globals = {"redis", "KEYS", "ARGV"}
max_line_length = 100
