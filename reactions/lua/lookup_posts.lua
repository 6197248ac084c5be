-- lookup_posts: reads what Redis knows of some posts, and of one user's reactions on them.
--
-- KEYS   1 post:reactions of the first post, followed by post:reactions of each further one
--        and in the slot of each: the further buckets of post:reactions, reaction_counts, pending,
--        claimed, viral, summary, outbox:deleted, and to renew their TTL: total_reactions, recent,
--        uniques
-- ARGV   1 user id, 0 for none
--        2-4 TTL in ms of a cold, regular and viral post: renewed when less than half is left
--        5 what the keys of the outbox begin with, "outbox:"
--        then for each post: share of the TTL to use, in thousandths
--        last 1 to stamp the summaries, 0 not to
-- reply  for each post: {tier, buckets, code, type code, count, ...}
--        tier     0 regular  1 viral or rising  2 deleted
--        buckets  of the complete hash, negative for those of a sample, 0 when neither is cached
--        code     the user's type code, 0 for none, -1 when Redis does not know it
--        the counts are missing when they are not cached
-- cost   O(posts x types); O(buckets) where TTLs are renewed

local user = ARGV[1]
local call = redis.call

-- The user's reaction. The outbox comes first: it is newer than any cache.
local function code_of(base, busy, reactions, whole, listed, size)
  if user == '0' then
    return -1
  end
  local entry = busy
    and (call('HGET', base .. 'pending', user) or call('HGET', base .. 'claimed', user))
  local code = entry and string.match(entry, '^%d+')
  if not code and size ~= 0 then
    local home = bucket_key(reactions, bucket_of(user, math.abs(size)))
    if home ~= reactions then
      whole, listed = unpack(call('HMGET', home, '0', user))
    end
    code = whole and (listed or size > 0 and '0')
  end
  return tonumber(code) or -1
end

-- Two commands for all posts together; in most calls no post has anything pending.
local bases, flags, outbox = {}, {}, {}
for number, reactions in ipairs(KEYS) do
  local base = string.sub(reactions, 1, -#'reactions' - 1)
  bases[number], flags[number] = base, base .. 'viral'
  outbox[2 * number - 1], outbox[2 * number] = base .. 'pending', base .. 'claimed'
end
flags = call('MGET', unpack(flags))
local busy = call('EXISTS', unpack(outbox)) > 0

local stamp = ARGV[#ARGV] == '1' and new_stamp() or ''
local reply = {}
for number, reactions in ipairs(KEYS) do
  local base = bases[number]
  local shard, post = string.match(base, '({%d+}:)(%d+):$')
  local share = ARGV[5 + number] / 1000
  if call('SISMEMBER', ARGV[5] .. shard .. 'deleted', post) == 1 then
    write_summary(base, '2', stamp, {}, {}, math.max(1, math.floor(ARGV[2] * share / 4)))
    reply[number] = {2, 0, 0}
  else
    local whole, listed = unpack(call('HMGET', reactions, '0', user))
    local size = size_of(whole)
    local code = code_of(base, busy, reactions, whole, listed, size)
    local life = tonumber(ARGV[flags[number] and 4 or size > 0 and 3 or 2])
    renew(base, reactions, size, math.max(1, math.floor(life * share)))
    local tier, counts = flags[number] and 1 or 0, call('HGETALL', base .. 'reaction_counts')
    if #counts > 0 then
      -- A quarter of the post's life: so reads come by here often enough to renew the other keys.
      local waiting = busy and {base .. 'claimed', base .. 'pending'} or {}
      write_summary(base, tier, stamp, counts, waiting,
        math.max(1, math.floor(life * share / 4)))
    end
    reply[number] = {tier, size, code, unpack(counts)}
  end
end
return reply
