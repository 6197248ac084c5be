-- claim: takes a shard's oldest pending changes for one drain, under a new lease.
--
-- KEYS   1 outbox:dirty  2 outbox:lease  3 outbox:wake
--        and of each post taken, in the same slot: pending, claimed, delta, loading
-- ARGV   1 prefix of the shard's post keys, "post:{42}:"
--        2 token: new for each claim, so that an old token can never settle
--        3 token of a lease to take over, or ""
--        4 lease in µs  5 most posts to take
--        6 longest lease in µs: one that ends later is from before the clock stepped back
--        7 rows: once the claim has so many, it takes no further post
--        8 most rows of a post to reply with; the caller scans a larger post itself
-- reply  {0} when another drain has the shard; its lease is marked as contended; else
--        {1, now in µs, more, {post, rows, since, taken over, {user, "type:version", ...}}, ...}
--        more        posts left to drain, among them those taken that have newer changes pending;
--                    when no post was taken, the lease is given back
--        since       when the oldest change of the post came, in µs
--        taken over  1 when a drain that died had claimed these rows: newer ones may be pending
-- cost   O(posts + rows taken)

local dirty, lease, wake = KEYS[1], KEYS[2], KEYS[3]
local prefix, token, most_rows, inline = ARGV[1], ARGV[2], tonumber(ARGV[7]), tonumber(ARGV[8])
local call = redis.call

local now = now_us()
if leased_to_another(lease, ARGV[3], now, tonumber(ARGV[6])) then
  return {0}
end
call('DEL', wake)

-- Reads everything before it moves anything: a key of a wrong type ends the script unchanged.
local found, stale, taken, behind = {}, {}, 0, 0
local posts = call('ZRANGE', dirty, 0, tonumber(ARGV[5]) - 1, 'WITHSCORES')
for at = 1, #posts, 2 do
  local post, base = posts[at], prefix .. posts[at]
  -- A claimed hash is what a dead drain left: it is taken again before newer, pending changes.
  local waiting, size = call('HLEN', base .. ':pending'), call('HLEN', base .. ':claimed')
  local left_over = size > 0
  size = left_over and size or waiting
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
    if not left_over then
      stale[#stale + 1], stale[#stale + 2] = base .. ':delta', base .. ':loading'
    elseif waiting > 0 then
      behind = behind + 1
    end
    taken = taken + size
    found[#found + 1] = {post, size, posts[at + 1], left_over and 1 or 0}
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
in_batches(stale, 1, #stale, function(...) call('DEL', ...) end)
if taken == 0 then
  call('DEL', lease)
else
  write_lease(lease, token, now + tonumber(ARGV[4]), 0)
  reply[3] = call('ZCARD', dirty) - #found + behind
end
return reply
