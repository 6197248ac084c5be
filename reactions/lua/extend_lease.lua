-- extend_lease: keep a lease for longer: to finish a long batch, or until a failed one is retried.
--
-- KEYS   1 outbox:lease
-- ARGV   1 token of the lease  2 µs from now until which others are to leave the shard alone
-- reply  1, or 0 when the lease is no longer ours: nothing was changed
-- cost   O(1)

local lease = KEYS[1]
local token, delay = ARGV[1], tonumber(ARGV[2])

local owner, _, bounced = string.match(redis.call('GET', lease) or '', '^([^|]*)|(%d+)|(%d)$')
if owner ~= token then
  return 0
end
local time = redis.call('TIME')
local expiry = string.format('%.0f', time[1] * 1000000 + time[2] + delay)
redis.call('SET', lease, token .. '|' .. expiry .. '|' .. bounced)
return 1
