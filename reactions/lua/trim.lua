-- trim: drop rows of a large claimed hash that PostgreSQL has committed, and prolong the lease.
--
-- One is left in the end, for settle to take: as long as there is a claim, it is known that what is
-- cached is to be brought in line with the database.
--
-- KEYS   1 outbox:lease  2 post:claimed
-- ARGV   1 token of the lease  2 lease in µs  3.. user ids
-- reply  1, or 0 when the lease is no longer ours: nothing was changed
-- cost   O(users)

local lease, claimed = KEYS[1], KEYS[2]
local token, lease_us = ARGV[1], tonumber(ARGV[2])
local call = redis.call

local owner, _, bounced = string.match(call('GET', lease) or '', '^([^|]*)|(%d+)|(%d)$')
if owner ~= token then
  return 0
end
local last = #ARGV
if call('HLEN', claimed) <= last - 2 then
  last = last - 1
end
for i = 3, last, 1000 do -- a Lua call takes a few thousand arguments at most
  call('HDEL', claimed, unpack(ARGV, i, math.min(i + 999, last)))
end
local time = call('TIME')
local expiry = string.format('%.0f', time[1] * 1000000 + time[2] + lease_us)
call('SET', lease, token .. '|' .. expiry .. '|' .. bounced)
return 1
