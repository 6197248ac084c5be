-- claim: take a shard's oldest pending changes for one drain, under a fresh lease.
--
-- KEYS   1 outbox:dirty  2 outbox:lease  3 outbox:wake
--        and of each post taken, in the same slot: pending, claimed, delta, loading
-- ARGV   1 prefix of the shard's post keys, "post:{42}:"
--        2 token: new with each claim, so that an old one can never acknowledge
--        3 token of a lease to take over, or ""
--        4 lease in µs
--        5 most posts to take
--        6 the longest that a lease can be in µs: one further ahead is from before a clock step
--        7 rows after which to take no further post
--        8 most rows of a post to reply with; a larger one comes without, to be scanned
-- reply  {0} when another drain has the shard (it is told that we came), else
--        {1, now µs, more, {post, rows, since, taken over, {user, "type:version", ...}}, ...}
--        since     when the oldest of the post's changes came, µs
--        taken over  1 when a drain that died had claimed them, so that others are behind them
--        more      posts left with something to do beside what was taken
--        no posts  nothing was found to do, and the lease is given back
-- cost   O(posts + rows taken)

local dirty, lease, wake = KEYS[1], KEYS[2], KEYS[3]
local prefix, token, previous, lease_us = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local most_posts, longest = tonumber(ARGV[5]), tonumber(ARGV[6])
local most_rows, inline = tonumber(ARGV[7]), tonumber(ARGV[8])
local call = redis.call

local time = call('TIME')
local now = time[1] * 1000000 + time[2]

local held = call('GET', lease)
if held then
  local owner, expiry = string.match(held, '^([^|]*)|(%d+)|')
  local left = owner and tonumber(expiry) - now
  if owner and owner ~= previous and left > 0 and left <= longest then
    call('SET', lease, owner .. '|' .. expiry .. '|1')
    return {0}
  end
end

call('DEL', wake)

-- First what is to be taken: whatever is wrong with a key ends the script before it moved anything.
local found, stale, taken, behind = {}, {}, 0, 0
local posts = call('ZRANGE', dirty, 0, most_posts - 1, 'WITHSCORES')
for at = 1, #posts, 2 do
  local post = posts[at]
  local base = prefix .. post
  -- A claimed hash left by a drain that died is taken again as it is; what came since is behind it.
  local waiting, size = call('HLEN', base .. ':pending'), call('HLEN', base .. ':claimed')
  local fresh = size == 0
  if fresh then
    size = waiting
  end
  if size == 0 then
    call('ZREM', dirty, post)
  else
    if #post > 19 or #post == 19 and post > '9223372036854775807'
      or not string.match(post, '^[1-9]%d*$') then
      error('no post id in ' .. dirty)
    end
    if taken > 0 and taken + size > most_rows then
      break
    end
    if fresh then
      stale[#stale + 1] = base .. ':delta'
      stale[#stale + 1] = base .. ':loading'
    elseif waiting > 0 then
      behind = behind + 1
    end
    taken = taken + size
    found[#found + 1] = {post, size, posts[at + 1], fresh and 0 or 1}
    if taken >= most_rows then
      break
    end
  end
end

local reply = {1, now, 0}
for _, post in ipairs(found) do
  local base = prefix .. post[1]
  if post[4] == 0 then
    call('RENAME', base .. ':pending', base .. ':claimed')
  end
  post[5] = post[2] <= inline and call('HGETALL', base .. ':claimed') or {}
  reply[#reply + 1] = post
end
for i = 1, #stale, 1000 do
  call('DEL', unpack(stale, i, math.min(i + 999, #stale)))
end

if taken == 0 then
  call('DEL', lease)
else
  call('SET', lease, token .. '|' .. string.format('%.0f', now + lease_us) .. '|0')
  reply[3] = call('ZCARD', dirty) - #found + behind
end
return reply
