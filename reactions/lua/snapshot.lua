-- snapshot: everything Redis holds of one post, in one moment, for verification.
--
-- KEYS   1 post:reactions  2 post:reaction_counts  3 post:pending  4 post:claimed  5 post:delta
--        6 post:loading
-- ARGV   none
-- reply  {reactions, counts, pending, claimed, delta, token}: hashes as {field, value, ...}; the
--        token of the load under way, or nil
-- cost   O(size of the post's hashes); not for the hot path

local reply = {}
for i = 1, 5 do
  reply[i] = redis.call('HGETALL', KEYS[i])
end
reply[6] = redis.call('GET', KEYS[6])
return reply
