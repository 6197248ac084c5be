-- react: record one user's reaction on one post: counts, cache and outbox in one step.
--
-- KEYS   1 post:reactions  2 post:reaction_counts  3 post:pending  4 post:claimed  5 post:delta
--        6 outbox:dirty    7 outbox:clock          8 outbox:wake
-- ARGV   1 user id
--        2 post id
--        3 type code, 0 removes
--        4 patience: age in µs from which an unanswered wake-up is asked for again
-- reply  {status, previous, version, wake}
--        status    0 unchanged  1 created  2 replaced  3 removed  4 accepted (earlier one unknown)
--        previous  type code; 0 none or unknown
--        version   µs, rising for each shard; 0 when nothing was written
--        wake      1 when the caller is to enqueue a drain of this shard
-- cost   O(1): at most 17 commands, whatever the post's size

local reactions, counts, pending, claimed = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local delta, dirty, clock, wake = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local user, post, code, patience = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local call = redis.call

-- The user's reaction so far: the hash if it is complete (field 0 says so), else the outbox.
local before
local cached = call('HMGET', reactions, '0', user)
if cached[1] then
  before = cached[2] or '0'
else
  local entry = call('HGET', pending, user) or call('HGET', claimed, user)
  before = entry and string.match(entry, '^%d+')
end

if before == code then
  return {0, tonumber(code), 0, 0}
end

local time = call('TIME')
local now = time[1] * 1000000 + time[2]
local version = math.max((tonumber(call('GET', clock)) or 0) + 1, now)
local stamp = string.format('%.0f', version)
call('SET', clock, stamp)
call('HSET', pending, user, code .. ':' .. stamp)
call('ZADD', dirty, 'NX', string.format('%.0f', now), post)

-- An unknown earlier reaction is taken as none; the acknowledgement of the batch corrects it.
local counted = call('EXISTS', counts) == 1
if before and before ~= '0' then
  call('HINCRBY', delta, before, -1)
  if counted then
    call('HINCRBY', counts, before, -1)
  end
end
if code ~= '0' then
  call('HINCRBY', delta, code, 1)
  if counted then
    call('HINCRBY', counts, code, 1)
  end
end

if cached[1] then
  if code == '0' then
    call('HDEL', reactions, user)
  else
    call('HSET', reactions, user, code)
  end
end

local asked = tonumber(call('GET', wake))
local awaken = 0
if not asked or now - asked > patience or asked > now then
  call('SET', wake, string.format('%.0f', now))
  awaken = 1
end

local status = 4
if before then
  if code == '0' then
    status = 3
  elseif before == '0' then
    status = 1
  else
    status = 2
  end
end
return {status, tonumber(before) or 0, version, awaken}
