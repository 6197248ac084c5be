-- raise_clock: give out no version up to this one any more.
--
-- KEYS   1 outbox:clock
-- ARGV   1 version to stay above (µs)
-- reply  1
-- cost   O(1)

local clock, least = KEYS[1], tonumber(ARGV[1])

if (tonumber(redis.call('GET', clock)) or 0) < least then
  redis.call('SET', clock, ARGV[1])
end
return 1
