-- look: what Redis knows of one post, and of one user's reaction on it, for a read.
--
-- KEYS   1 post:reactions  2 post:reaction_counts  3 post:pending  4 post:claimed  5 post:viral
--        6 outbox:deleted
--        and in the same slot, to renew their TTL: the further buckets of post:reactions,
--        total_reactions, recent, uniques
-- ARGV   1 prefix of the post's keys  2 post id  3 user id, 0 for none
--        4-6 TTL in ms of a cold, regular and viral post: renewed when less than half is left
-- reply  {tier, cached, code, type code, count, ...}
--        tier    0 regular  1 viral  2 deleted
--        cached  buckets of the complete hash, negative for a sample, 0 for neither
--        code    the user's type code, 0 for none, -1 when it is not known here
--        no counts are replied when they are not cached
-- cost   O(types); O(buckets) when TTLs are renewed

local reactions, counts, pending, claimed = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local viral, deleted = KEYS[5], KEYS[6]
local base, post, user = ARGV[1], ARGV[2], ARGV[3]
local call = redis.call

if call('SISMEMBER', deleted, post) == 1 then
  return {2, 0, 0}
end
local whole, listed = unpack(call('HMGET', reactions, '0', user))
local size = size_of(whole)
local tier = call('EXISTS', viral)

-- The outbox first: it is newer than any cache.
local code
if user ~= '0' then
  local entry = call('HGET', pending, user) or call('HGET', claimed, user)
  code = entry and string.match(entry, '^%d+')
  if not code and size ~= 0 then
    local home = bucket_key(reactions, bucket_of(user, math.abs(size)))
    if home ~= reactions then
      whole, listed = unpack(call('HMGET', home, '0', user))
    end
    code = whole and (listed or size > 0 and '0')
  end
end

local life = tonumber(ARGV[tier == 1 and 6 or size > 0 and 5 or 4])
local left = call('PTTL', counts)
if size ~= 0 then
  left = math.min(left, call('PTTL', reactions))
end
if left < life / 2 then
  call('PEXPIRE', counts, life)
  refresh_buckets(reactions, size, life)
  for _, name in ipairs({'viral', 'total_reactions', 'recent', 'uniques'}) do
    call('PEXPIRE', base .. name, life)
  end
end
return {tier, size, tonumber(code) or -1, unpack(call('HGETALL', counts))}
