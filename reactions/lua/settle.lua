-- settle: acknowledge a claimed batch that PostgreSQL has committed, and give the lease back.
--
-- Counts are written absolutely, database + still pending, so they heal at every batch.
--
-- A regular post that is used often, so that its counts were cached already, is fenced for a load
-- when its hash is not: the caller is to load it, with the token of the lease.
--
-- KEYS   1 outbox:dirty  2 outbox:lease  3 outbox:lags
--        and of each post, in the same slot: reaction_counts, reactions, pending, claimed, delta,
--        loading
-- ARGV   1 prefix of the shard's post keys
--        2 token of the lease
--        3 when the batch was claimed (µs): nothing pending now is older
--        4 reactions from which a post is viral, and is not loaded
--        5 life of a load's token in ms
--        6 number of lag buckets, then for each: upper bound in µs, reactions
--        then for each post: post id, TTL in ms, 1 to drop the cached hash (rows were refused),
--        number of types, then for each: type code, count in the database
-- reply  {0} when the lease is no longer ours: nothing was changed, else
--        {1, posts still dirty, 1 when another drain came by, post fenced for a load, ...}
-- cost   O(posts x types)

local dirty, lease, lags = KEYS[1], KEYS[2], KEYS[3]
local prefix, token, claimed_at = ARGV[1], ARGV[2], ARGV[3]
local viral, life = tonumber(ARGV[4]), ARGV[5]
local call = redis.call

local owner, _, bounced = string.match(call('GET', lease) or '', '^([^|]*)|(%d+)|(%d)$')
if owner ~= token then
  return {0}
end

local at = 7
for _ = 1, tonumber(ARGV[6]) do
  call('HINCRBY', lags, ARGV[at], ARGV[at + 1])
  at = at + 2
end

local cold = {}
while at <= #ARGV do
  local post, ttl, drop, types = ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3])
  at = at + 4
  local base = prefix .. post
  local counts, reactions = base .. ':reaction_counts', base .. ':reactions'

  local total = {}
  for _ = 1, types do
    total[ARGV[at]] = tonumber(ARGV[at + 1])
    at = at + 2
  end
  local delta = call('HGETALL', base .. ':delta')
  for i = 1, #delta, 2 do
    total[delta[i]] = (total[delta[i]] or 0) + tonumber(delta[i + 1])
  end
  local fields, sum = {}, 0
  for code, count in pairs(total) do
    fields[#fields + 1] = code
    fields[#fields + 1] = count
    sum = sum + count
  end
  local often = call('DEL', counts) == 1
  if #fields > 0 then
    call('HSET', counts, unpack(fields))
    call('PEXPIRE', counts, ttl)
  end

  if drop == '1' then
    call('UNLINK', reactions)
  else
    local cached = call('PEXPIRE', reactions, ttl) == 1
    if often and not cached and sum < viral then
      call('SET', base .. ':loading', token, 'PX', life)
      cold[#cold + 1] = post
    end
  end

  call('UNLINK', base .. ':claimed')
  if call('EXISTS', base .. ':pending') == 1 then
    call('ZADD', dirty, 'XX', claimed_at, post)
  else
    call('ZREM', dirty, post)
  end
end

call('DEL', lease)
return {1, call('ZCARD', dirty), tonumber(bounced), unpack(cold)}
