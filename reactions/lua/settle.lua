-- settle: acknowledges a claimed batch that PostgreSQL has committed, and gives the lease back.
--
-- The script writes each count as the database's value plus what is pending, so an error in a
-- cached count lasts until the next batch at most. It also decides the tier of each post. When the
-- caches of a post are incomplete for its tier, it announces a load: post:loading is the token.
--
-- KEYS   1 outbox:dirty  2 outbox:lease  3 outbox:lags  4 outbox:deleted
--        5 outbox:committed
--        and of each post, in the same slot: reaction_counts, reactions and its buckets, viral,
--        total_reactions, recent, uniques, rate, pending, claimed, delta, loading, summary
-- ARGV   1 prefix of the shard's post keys, "post:{42}:"  2 token of the lease
--        3 when the batch was claimed, in µs
--        4 reactions from which a post is viral  5 reactions below which it is regular again
--        6 most users in a sample  7 entries in a bucket from which a hash grows
--        8 life of post:loading in ms  9-12 TTL in ms of a cold, regular, hot and viral post
--        13 window in µs over which the growth of a post is averaged
--        14 horizon in µs: a post that reaches the threshold within it is rising; 0 for never
--        15 reactions from which the growth of a post is measured
--        16 the PostgreSQL transaction that committed the batch, 0 for none
--        17 number of lag buckets, then for each: upper bound in µs, reactions
--        then for each post: post id; share of the TTL to use, in thousandths; 1 when hot;
--        1 to drop its users' cached reactions (the database refused rows), 2 when the post is
--        deleted, else 0; 1 when a drain that died had claimed it, so that pending changes may be
--        older than this claim; number of types, then for each: type code, count in the database
-- reply  {0} when the lease belongs to another claim: nothing was changed, else
--        {1, posts still dirty, 1 when another drain wanted the shard, post, what, ...}
--        what  1 load the complete hash  2 load the sample  3 divide buckets of the complete hash
--              4 the post became viral  5 it became regular  6 it became rising
-- cost   O(posts x (types + buckets))

local dirty, lease, lags, deleted, committed = unpack(KEYS)
local prefix, token, claimed_at = ARGV[1], ARGV[2], ARGV[3]
local rules = {
  threshold = tonumber(ARGV[4]), low = tonumber(ARGV[5]), sample = tonumber(ARGV[6]),
  full = tonumber(ARGV[7]), cold_ttl = ARGV[9], regular_ttl = ARGV[10], hot_ttl = ARGV[11],
  viral_ttl = ARGV[12], window = tonumber(ARGV[13]), horizon = tonumber(ARGV[14]),
  watched = tonumber(ARGV[15]), at = claimed_at,
}
local call = redis.call

local owner, _, contended = read_lease(lease)
if owner ~= token then
  return {0}
end

if ARGV[16] ~= '0' then
  call('SET', committed, ARGV[16])
end
local at = 18
for _ = 1, tonumber(ARGV[17]) do
  call('HINCRBY', lags, ARGV[at], ARGV[at + 1])
  at = at + 2
end
local posts, starts, refused = {}, {}, {}
while at <= #ARGV do
  posts[#posts + 1], starts[#starts + 1] = ARGV[at], at
  at = at + 6 + 2 * tonumber(ARGV[at + 5])
end
in_batches(posts, 1, #posts, function(...)
  for _, member in ipairs(call('SMISMEMBER', deleted, ...)) do
    refused[#refused + 1] = member == 1
  end
end)

local reply, settled, done = {1, 0, tonumber(contended)}, {}, {}
local function report(post, what)
  if what then
    reply[#reply + 1], reply[#reply + 2] = post, what
  end
end
for number, post in ipairs(posts) do
  local base, start = prefix .. post, starts[number]
  local share, hot, drop, taken_over, types = unpack(ARGV, start + 1, start + 5)
  local fields, sum = with_pending(start + 6, start + 5 + 2 * types, base .. ':delta')
  local in_use = write_counts(base .. ':reaction_counts', fields)
  if drop ~= '0' then
    drop_buckets(base .. ':reactions')
    call('UNLINK', base .. ':recent', base .. ':uniques')
  end
  if drop == '2' or refused[number] then
    call('SADD', deleted, post)
    call('UNLINK', base .. ':pending', base .. ':delta', base .. ':reaction_counts',
      base .. ':viral', base .. ':total_reactions', base .. ':rate', base .. ':loading')
  else
    local tier, load = settle_tier(base, sum, in_use, share, hot == '1', rules)
    if load == LOAD_HASH or load == LOAD_SAMPLE then
      call('SET', base .. ':loading', token, 'PX', ARGV[8])
    end
    report(post, tier)
    report(post, load)
  end
  settled[2 * number - 1], settled[2 * number] = base .. ':claimed', base .. ':summary'
  if call('EXISTS', base .. ':pending') == 0 then
    done[#done + 1] = post
  elseif taken_over == '0' then
    call('ZADD', dirty, 'XX', claimed_at, post)
  end
end

in_batches(settled, 1, #settled, function(...) call('UNLINK', ...) end)
in_batches(done, 1, #done, function(...) call('ZREM', dirty, ...) end)
call('DEL', lease)
reply[2] = call('ZCARD', dirty)
return reply
