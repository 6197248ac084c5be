-- trim: drops committed rows of a large claimed hash, and extends the lease.
--
-- It always keeps one row of the claimed hash: as long as a claim exists, a settlement must follow,
-- and that updates the caches. Without the row, a drain that dies here would leave them outdated.
--
-- KEYS   1 outbox:lease  2 post:claimed  3 outbox:committed
-- ARGV   1 token of the lease  2 lease in µs from now
--        3 the PostgreSQL transaction that committed the rows, or a later one, 0 for none
--        4.. user ids
-- reply  1, or 0 when the lease belongs to another claim: nothing was changed
-- cost   O(users)

local lease, claimed, committed = KEYS[1], KEYS[2], KEYS[3]
local token, lease_us = ARGV[1], tonumber(ARGV[2])

local owner, _, contended = read_lease(lease)
if owner ~= token then
  return 0
end
if ARGV[3] ~= '0' then
  redis.call('SET', committed, ARGV[3])
end
local last = #ARGV
if redis.call('HLEN', claimed) <= last - 3 then
  last = last - 1
end
in_batches(ARGV, 4, last, function(...)
  redis.call('HDEL', claimed, ...)
end)
write_lease(lease, token, now_us() + lease_us, contended)
return 1
