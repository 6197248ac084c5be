-- trim: drops committed rows of a large claimed hash, and extends the lease.
--
-- It always keeps one row of the claimed hash: as long as a claim exists, a settlement must follow,
-- and that updates the caches. Without the row, a drain that dies here would leave them outdated.
--
-- KEYS   1 outbox:lease  2 post:claimed
-- ARGV   1 token of the lease  2 lease in µs from now  3.. user ids
-- reply  1, or 0 when the lease belongs to another claim: nothing was changed
-- cost   O(users)

local lease, claimed = KEYS[1], KEYS[2]
local token, lease_us = ARGV[1], tonumber(ARGV[2])

local owner, _, contended = read_lease(lease)
if owner ~= token then
  return 0
end
local last = #ARGV
if redis.call('HLEN', claimed) <= last - 2 then
  last = last - 1
end
in_batches(ARGV, 3, last, function(...)
  redis.call('HDEL', claimed, ...)
end)
write_lease(lease, token, now_us() + lease_us, contended)
return 1
