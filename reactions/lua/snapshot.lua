-- snapshot: reads everything Redis has of one post at one moment, to verify it.
--
-- KEYS   1 post:reactions, and in the same slot its further buckets  2 post:reaction_counts
--        3 post:pending  4 post:claimed  5 post:delta  6 post:loading  7 post:viral
--        8 post:total_reactions  9 post:recent  10 post:uniques  11 outbox:dirty  12 post:rate
--        13 post:summary
-- ARGV   1 post id  2 token: a load with this token is given up
-- reply  {counts, pending, claimed, delta, token, viral, total, recent, dirty, immortal, summary,
--        bucket, ...}, hashes as {field, value, ...}
--        token     of the load under way, or nil
--        viral     1 for a viral post, 2 for a rising one, else 0
--        total     post:total_reactions, or nil
--        recent    the users of the sample, newest first
--        dirty     1 when a drain would find the post
--        immortal  cache keys without a TTL
--        summary   post:summary, or nil
--        bucket    each bucket of post:reactions
-- cost   O(size of the post's keys); not for the hot path

local call = redis.call

local reply = {}
for i = 2, 5 do
  reply[#reply + 1] = call('HGETALL', KEYS[i])
end
reply[5] = call('GET', KEYS[6])
reply[6] = tonumber(call('GET', KEYS[7]) or 0)
reply[7] = call('GET', KEYS[8])
reply[8] = call('LRANGE', KEYS[9], 0, -1)
reply[9] = call('ZSCORE', KEYS[11], ARGV[1]) and 1 or 0
local cached = {KEYS[2], KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[12], KEYS[13]}
local size = math.max(1, math.abs(size_of(call('HGET', KEYS[1], '0'))))
for bucket = 0, size - 1 do
  cached[#cached + 1] = bucket_key(KEYS[1], bucket)
  reply[12 + bucket] = call('HGETALL', cached[#cached])
end
local immortal = {}
for _, key in ipairs(cached) do
  if call('PTTL', key) == -1 then
    immortal[#immortal + 1] = key
  end
end
reply[10] = immortal
reply[11] = call('GET', KEYS[13])
if reply[5] == ARGV[2] then
  call('DEL', KEYS[6])
end
return reply
