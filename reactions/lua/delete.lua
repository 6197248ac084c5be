-- delete: deletes a post. Redis refuses reactions on it from now on and drops what it has of the
-- post. outbox:deletions notes that its rows must go, too. A batch that a drain has claimed stays;
-- settle drops it.
--
-- KEYS   1 outbox:deleted  2 outbox:deletions  3 outbox:dirty  4 post:claimed  5 post:pending
--        6 post:delta  7 post:reactions, and in the same slot its further buckets
--        8 post:reaction_counts  9 post:viral  10 post:total_reactions  11 post:recent
--        12 post:uniques  13 post:loading  14 post:rate  15 post:summary
-- ARGV   1 post id
-- reply  1, or 0 when the post was deleted before
-- cost   O(buckets)

local post, call = ARGV[1], redis.call

local new = call('SADD', KEYS[1], post)
if new == 1 then
  call('SADD', KEYS[2], post)
end
drop_buckets(KEYS[7])
for i = 5, 15 do
  call('UNLINK', KEYS[i])
end
if call('EXISTS', KEYS[4]) == 0 then
  call('ZREM', KEYS[3], post)
end
return new
