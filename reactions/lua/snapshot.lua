-- snapshot: everything Redis holds of one post, in one moment, for verification.
--
-- KEYS   1 post:reactions, and in the same slot its further buckets  2 post:reaction_counts
--        3 post:pending  4 post:claimed  5 post:delta  6 post:loading  7 post:viral
--        8 post:total_reactions  9 post:recent
-- ARGV   none
-- reply  {counts, pending, claimed, delta, token, viral, total, recent, bucket, ...}: hashes as
--        {field, value, ...}; the token of the load under way, or nil; 1 for a viral post; its
--        total, or nil; the users of the sample, newest first
-- cost   O(size of the post's keys); not for the hot path

local call = redis.call

local reply = {}
for i = 2, 5 do
  reply[#reply + 1] = call('HGETALL', KEYS[i])
end
reply[5] = call('GET', KEYS[6])
reply[6] = call('EXISTS', KEYS[7])
reply[7] = call('GET', KEYS[8])
reply[8] = call('LRANGE', KEYS[9], 0, -1)
local size = math.abs(tonumber(call('HGET', KEYS[1], '0')) or 1)
for bucket = 0, size - 1 do
  reply[9 + bucket] = call('HGETALL', bucket_key(KEYS[1], bucket))
end
return reply
