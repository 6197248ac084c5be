-- limit: let a user's write pass, or say how long it is to wait (GCRA: a bucket that leaks evenly).
--
-- KEYS   1 user:allowance
-- ARGV   1 µs that a write takes up
--        2 µs that may be taken up ahead of now, at least that much: the burst
-- reply  0 when it may pass, else µs until it may
-- cost   O(1)

local allowance, each, ahead = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local taken = tonumber(redis.pcall('GET', allowance)) -- of another type, it is written anew
-- Nothing is further ahead than the burst: that is from before a clock step, or another limit.
if not (taken and taken > now and taken <= now + ahead) then
  taken = now
end
local wait = taken + each - now - ahead
if wait > 0 then
  return math.ceil(wait)
end
redis.call('SET', allowance, string.format('%.0f', taken + each), 'PX',
  math.ceil((taken + each - now) / 1000))
return 0
