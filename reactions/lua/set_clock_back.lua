-- set_clock_back: moves the pending changes of a shard from the future to now, and its clock, too.
--
-- The changes keep their order. All of them move, also one that is not in the future: each is newer
-- than what PostgreSQL has of its post and user. The script reads everything before it writes: a
-- key of a wrong type ends it unchanged.
--
-- KEYS   1 outbox:dirty  2 outbox:lease  3 outbox:clock
--        and of each dirty post, in the same slot: pending, claimed
-- ARGV   1 prefix of the shard's post keys, "post:{42}:"
--        2 version: the changes move above it, the newest that PostgreSQL has of the shard
--        3 longest lease in µs: one that ends later is from before the clock stepped back
-- reply  {0} when a drain has the shard: nothing was changed; else {1, changes that moved}
-- cost   O(N log N) for N changes of the shard that are not durable

local dirty, lease, clock = KEYS[1], KEYS[2], KEYS[3]
local prefix, newest = ARGV[1], tonumber(ARGV[2])
local call = redis.call

local now = now_us()
if leased_to_another(lease, '', now, tonumber(ARGV[3])) then
  return {0}
end

local changes = {}
for _, post in ipairs(call('ZRANGE', dirty, 0, -1)) do
  for _, kind in ipairs({':claimed', ':pending'}) do
    local key = prefix .. post .. kind
    local entries = call('HGETALL', key)
    for at = 1, #entries, 2 do
      local code, version = string.match(entries[at + 1], '^(%d+):(%d+)$')
      if code then
        changes[#changes + 1] = {tonumber(version), key, entries[at], code}
      end
    end
  end
end
table.sort(changes, function(one, other)
  return one[1] < other[1]
end)

local last = math.max(newest, now - #changes)
for _, change in ipairs(changes) do
  last = last + 1
  call('HSET', change[2], change[3], change[4] .. ':' .. string.format('%.0f', last))
end
call('SET', clock, string.format('%.0f', last))
return {1, #changes}
