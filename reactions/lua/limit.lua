-- limit: lets a user's write pass, or says how long it must wait. The algorithm is GCRA, a leaky
-- bucket: each write takes up some time ahead of now, and a burst may take up so much of it.
--
-- KEYS   1 user:allowance
-- ARGV   1 µs that a write takes up  2 µs ahead of now that may be taken up, at least one write's
-- reply  0 when the write may pass, else µs until it may
-- cost   O(1)

local allowance, each, ahead = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local taken = tonumber(redis.pcall('GET', allowance)) -- a key of another type is written anew
-- A value further ahead than the burst is from before the clock stepped back, or of another limit.
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
