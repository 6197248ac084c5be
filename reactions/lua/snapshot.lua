-- snapshot: everything Redis holds of one post, in one moment, for verification.
--
-- KEYS   1 post:reactions  2 post:reaction_counts  3 post:pending  4 post:claimed  5 post:delta
-- ARGV   none
-- reply  {reactions, counts, pending, claimed, delta}, each {field, value, ...}
-- cost   O(size of the post's cached hash); not for the hot path

local reply = {}
for i, key in ipairs(KEYS) do
  reply[i] = redis.call('HGETALL', key)
end
return reply
