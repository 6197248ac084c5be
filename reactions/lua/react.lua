-- react: records one user's reaction on one post: counts, cache and outbox in one step.
--
-- KEYS   1 post:reactions  2 post:reaction_counts  3 post:pending   4 post:claimed  5 post:delta
--        6 post:recent     7 post:total_reactions  8 post:uniques
--        9 outbox:dirty   10 outbox:clock         11 outbox:wake   12 outbox:deleted
--       13 post:summary
--        and in the same slot: the further buckets of post:reactions
-- ARGV   1 user id
--        2 post id
--        3 type code; 0 removes the reaction
--        4 patience in µs: the script asks again for a wake-up that is unanswered for so long
--        5 most users in the sample of a viral post
--        6 bytes from which post:summary is dropped instead of growing
-- reply  {status, previous, version, wake}
--        status    0 unchanged  1 created  2 replaced  3 removed
--                  4 accepted: Redis does not know the previous reaction
--                  5 refused: the post is deleted
--        previous  type code; 0 when there was none or it is unknown
--        version   in µs, rising within a shard; 0 when nothing was written
--        wake      1 when the caller must enqueue a drain of this shard
-- cost   O(1): a bucket and a sample are bounded, whatever the post's size

local reactions, counts, pending, claimed, delta = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local recent, total, uniques = KEYS[6], KEYS[7], KEYS[8]
local dirty, clock, wake, deleted = KEYS[9], KEYS[10], KEYS[11], KEYS[12]
local summary = KEYS[13]
local user, post, code, patience, most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local call = redis.call

if call('SISMEMBER', deleted, post) == 1 then
  return {5, 0, 0, 0}
end

-- The cached reaction: `home` is the user's bucket, `whole` its mark, `listed` the user's entry.
local home = reactions
local whole, listed = unpack(call('HMGET', home, '0', user))
local size = size_of(whole)
if size > 1 or size < -1 then
  home = bucket_key(reactions, bucket_of(user, math.abs(size)))
  if home ~= reactions then
    whole, listed = unpack(call('HMGET', home, '0', user))
  end
end

-- Whether counts, total and HyperLogLog are cached. A post with a complete hash has counts only.
local function cached_counts()
  if size > 0 then
    return call('EXISTS', counts) == 1
  end
  local there = call('EXISTS', counts, total, uniques)
  if there == 0 or there == 3 then -- none or all: one command is enough
    return there == 3, there == 3, there == 3
  end
  return call('EXISTS', counts) == 1, call('EXISTS', total) == 1, call('EXISTS', uniques) == 1
end

-- The previous reaction: from the complete hash or the sample, else from the outbox.
local before
if size ~= 0 and whole and (listed or size > 0) then
  before = string.match(listed or '0', '^%d+$')
else
  local entry = call('HGET', pending, user) or call('HGET', claimed, user)
  before = entry and string.match(entry, '^%d+')
end
if before == code then
  return {0, tonumber(code), 0, 0}
end

local time = call('TIME')
local now = time[1] * 1000000 + time[2]
local last, asked, summarized = unpack(call('MGET', clock, wake, summary))
last = tonumber(last or call('GET', clock)) or 0 -- GET fails on a key of another type
-- Doubles are exact up to 2^53: the script ignores a last version beyond that.
local version = math.max(last < 9007199254740991 and last + 1 or 0, now)
local stamp = string.format('%.0f', version)
call('SET', clock, stamp)
call('HSET', pending, user, code .. ':' .. stamp)
call('ZADD', dirty, 'NX', string.format('%.0f', now), post)

-- An unknown previous reaction counts as none; settle corrects the counts.
local gone, come = (before or '0') ~= '0', code ~= '0'
local counted, totalled, estimated = cached_counts()
if gone then
  call('HINCRBY', delta, before, -1)
  if counted then
    call('HINCRBY', counts, before, -1)
  end
end
if come then
  call('HINCRBY', delta, code, 1)
  if counted then
    call('HINCRBY', counts, code, 1)
  end
end

if size > 0 then
  if whole then
    if come then
      call('HSET', home, user, code)
    else
      call('HDEL', home, user)
    end
  end
end
if totalled and gone ~= come then
  call('INCRBY', total, come and 1 or -1)
end
if estimated and come then
  call('PFADD', uniques, user)
end
if size < 0 then
  local length = come and call('LPUSHX', recent, user)
  if not whole or length == 0 then -- a part of the sample is lost: drop the rest
    drop_buckets(reactions)
  elseif come then
    call('HSET', home, user, code)
    if listed then
      call('LREM', recent, -1, user)
    elseif length > tonumber(most) then
      local oldest = call('RPOP', recent)
      call('HDEL', bucket_key(reactions, bucket_of(oldest, -size)), oldest)
    end
  elseif listed then
    call('LREM', recent, 1, user)
    call('HDEL', home, user)
  end
end

if summarized then -- a change at its end keeps it complete; see include/summary.lua
  if #summarized < tonumber(ARGV[6]) then
    call('APPEND', summary, ';' .. user .. ':' .. (before or '0') .. ':' .. code)
  else
    call('UNLINK', summary)
  end
end

asked = tonumber(asked)
local awaken = 0
if not asked or now - asked > patience or asked > now then
  call('SET', wake, string.format('%.0f', now))
  awaken = 1
end

local status = 4
if before then
  status = not come and 3 or gone and 2 or 1
end
return {status, tonumber(before) or 0, version, awaken}
