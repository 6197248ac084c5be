-- raise_clock: makes every later version of a shard higher than a given one.
--
-- KEYS   1 outbox:clock
-- ARGV   1 the version, in µs
-- reply  1
-- cost   O(1)

local clock, least = KEYS[1], tonumber(ARGV[1])

if (tonumber(redis.call('GET', clock)) or 0) < least then
  redis.call('SET', clock, ARGV[1])
end
return 1
