-- extend_lease: moves the end of a lease, to finish a large batch or to retry a failed one.
--
-- KEYS   1 outbox:lease
-- ARGV   1 token of the lease  2 µs from now at which the lease ends
-- reply  1, or 0 when the lease belongs to another claim: nothing was changed
-- cost   O(1)

local lease, token, lease_us = KEYS[1], ARGV[1], tonumber(ARGV[2])

local owner, _, contended = read_lease(lease)
if owner ~= token then
  return 0
end
write_lease(lease, token, now_us() + lease_us, contended)
return 1
