-- settle: acknowledge a claimed batch that PostgreSQL has committed, and give the lease back.
--
-- Counts are written absolutely, database + still pending, so they heal at every batch. The tier of
-- each post is decided here: at the threshold it is viral, below the low mark it is regular again.
-- A post that lacks what its tier is to have cached is fenced for a load.
--
-- KEYS   1 outbox:dirty  2 outbox:lease  3 outbox:lags  4 outbox:deleted
--        and of each post, in the same slot: reaction_counts, reactions and its buckets, viral,
--        total_reactions, recent, uniques, rate, pending, claimed, delta, loading
-- ARGV   1 prefix of the shard's post keys
--        2 token of the lease
--        3 when the batch was claimed (µs)
--        4 reactions from which a post is viral  5 below which it is no longer
--        6 most users in a sample  7 entries in a bucket from which a hash is to grow
--        8 life of a load's token in ms  9-12 TTL in ms of a cold, regular, hot and viral post
--        13 µs over which the growth of a post is weighted  14 µs ahead of the threshold at which
--        it is on its way, 0: never  15 reactions from which its growth is watched
--        16 number of lag buckets, then for each: upper bound in µs, reactions
--        then for each post: post id; share of the TTL to use, in thousandths; 1 when hot;
--        1 to drop what is cached of users (rows were refused), 2 when the post is deleted;
--        1 when the claim was taken over, so that something older than it may be pending;
--        number of types, then for each: type code, count in the database
-- reply  {0} when the lease is no longer ours: nothing was changed, else
--        {1, posts still dirty, 1 when another drain came by, post, what, ...}
--        what  1 fenced, with the token of the lease, for a load of the complete hash
--              2 the same, of the sample
--              3 the complete hash is to grow
--              4 it became viral  5 it became regular again
--              6 it is on its way to become viral, and treated so
-- cost   O(posts x (types + buckets))

local dirty, lease, lags, deleted = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local prefix, token, claimed_at = ARGV[1], ARGV[2], ARGV[3]
local threshold, low, most, full = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]
local call = redis.call

local owner, _, bounced = string.match(call('GET', lease) or '', '^([^|]*)|(%d+)|(%d)$')
if owner ~= token then
  return {0}
end

local at = 16
local function take()
  at = at + 1
  return ARGV[at]
end

-- The counts with what is pending; their sum, and whether they were cached before.
local function settle_counts(base)
  local counted = {}
  for _ = 1, tonumber(take()) do
    local code = take()
    counted[code] = tonumber(take())
  end
  local delta = call('HGETALL', base .. ':delta')
  for i = 1, #delta, 2 do
    counted[delta[i]] = (counted[delta[i]] or 0) + (tonumber(delta[i + 1]) or 0)
  end
  local fields, sum = {}, 0
  for code, count in pairs(counted) do
    fields[#fields + 1] = code
    fields[#fields + 1] = count
    sum = sum + count
  end
  local often = call('DEL', base .. ':reaction_counts') == 1
  if #fields > 0 then
    call('HSET', base .. ':reaction_counts', unpack(fields))
  end
  return sum, often
end

-- Whether a post will be at the threshold soon, as it grows; one that was so stays so for twice as
-- long, so that it does not come and go.
local function on_its_way(base, sum, was)
  local window, horizon = tonumber(ARGV[13]), tonumber(ARGV[14])
  if horizon == 0 or sum < tonumber(ARGV[15]) then
    return false
  end
  local known = call('GET', base .. ':rate') or ''
  local rate, since, last = string.match(known, '^([^|]+)|(%d+)|(%d+)$')
  local step = math.max(0, tonumber(claimed_at) - (tonumber(since) or 0))
  rate = (tonumber(rate) or 0) * math.exp(-step / window)
    + math.max(0, sum - (tonumber(last) or sum)) / window
  call('SET', base .. ':rate', string.format('%.9g|%s|%.0f', rate, claimed_at, sum),
    'PX', math.ceil(window / 100)) -- ten windows: what is older weighs nothing
  return threshold - sum <= rate * horizon * (was and 2 or 1)
end

-- The caches of a viral post: the number of its buckets (0: no sample), and whether it is short.
local function settle_viral(base, size, sum, ttl)
  if size > 0 then
    refresh_buckets(base .. ':reactions', size, ttl) -- still complete: the sample takes its place
    return true
  end
  call('SET', base .. ':total_reactions', string.format('%.0f', sum), 'PX', ttl)
  call('PEXPIRE', base .. ':uniques', ttl)
  return size == 0
    or call('PEXPIRE', base .. ':recent', ttl) == 0
    or refresh_buckets(base .. ':reactions', size, ttl) < -size
    or call('LLEN', base .. ':recent') < math.min(most, sum)
end

local reply = {1, 0, tonumber(bounced)}
local function note(base, what)
  reply[#reply + 1] = string.sub(base, #prefix + 1)
  reply[#reply + 1] = what
end

local function settle_post(base, sum, often, share, hot)
  local reactions = base .. ':reactions'
  local size = size_of(call('HGET', reactions, '0'))
  local flag = call('GET', base .. ':viral')
  local viral = flag or size < 0
  local function ttl(index)
    return math.max(1, math.floor(ARGV[index] * share / 1000))
  end
  local coming = sum < threshold and on_its_way(base, sum, viral)
  if sum >= threshold or viral and sum >= low or coming then
    local new = (sum >= threshold or sum >= low and viral and flag ~= '2') and '1' or '2'
    if new ~= flag then
      note(base, new == '1' and 4 or 6)
    end
    call('SET', base .. ':viral', new, 'PX', ttl(12))
    call('PEXPIRE', base .. ':reaction_counts', ttl(12))
    return settle_viral(base, size, sum, ttl(12)) and 2
  end
  if viral then
    note(base, 5)
    call('UNLINK', base .. ':viral', base .. ':total_reactions', base .. ':recent',
      base .. ':uniques')
    if size < 0 then
      drop_buckets(reactions)
      size = 0
    end
  end
  local life = ttl(hot and 11 or size > 0 and 10 or 9)
  call('PEXPIRE', base .. ':reaction_counts', life)
  if size == 0 then
    return often and 1
  elseif refresh_buckets(reactions, size, life) < size then
    return 1
  end
  return outgrown(size, sum, full) and 3
end

-- One call for many: calls are what a script spends its time on. Lua passes no more at once.
local function together(list, act)
  for i = 1, #list, 1000 do
    act(unpack(list, i, math.min(i + 999, #list)))
  end
end

for _ = 1, tonumber(ARGV[16]) do
  call('HINCRBY', lags, take(), take())
end

local first, numbers = at, {}
while at < #ARGV do
  numbers[#numbers + 1] = ARGV[at + 1]
  at = at + 6 + 2 * tonumber(ARGV[at + 6])
end
local refused = {}
together(numbers, function(...)
  for _, member in ipairs(call('SMISMEMBER', deleted, ...)) do
    refused[#refused + 1] = member == 1
  end
end)

at = first
local settled, done = {}, {}
for number, post in ipairs(numbers) do
  at = at + 1
  local share, hot, drop, taken_over = tonumber(take()), take() == '1', take(), take() == '1'
  local base = prefix .. post
  local sum, often = settle_counts(base)
  if drop ~= '0' then
    drop_buckets(base .. ':reactions')
    call('UNLINK', base .. ':recent', base .. ':uniques')
  end
  settled[number] = base .. ':claimed'
  if drop == '2' or refused[number] then
    call('SADD', deleted, post)
    call('UNLINK', base .. ':pending', base .. ':delta', base .. ':reaction_counts')
    for _, name in ipairs({'viral', 'total_reactions', 'rate', 'loading'}) do
      call('UNLINK', base .. ':' .. name)
    end
  else
    local what = settle_post(base, sum, often, share, hot)
    if what and what < 3 then
      call('SET', base .. ':loading', token, 'PX', ARGV[8])
    end
    if what then
      note(base, what)
    end
  end
  if call('EXISTS', base .. ':pending') == 0 then
    done[#done + 1] = post
  elseif not taken_over then
    call('ZADD', dirty, 'XX', claimed_at, post)
  end
end

together(settled, function(...)
  call('UNLINK', ...)
end)
together(done, function(...)
  call('ZREM', dirty, ...)
end)

call('DEL', lease)
reply[2] = call('ZCARD', dirty)
return reply
