-- write_through_users: write what a drain has committed to the cached reactions of users, before
-- the batch is acknowledged. Within its lease a drain is the only writer of its posts, so what it
-- has committed is the newest; after it, what is cached of these posts is dropped instead.
--
-- KEYS   1 user:reactions of a user, followed by that of one of each further shard
--        and of each user, in the slot of each: reactions, loading
-- ARGV   1 until when the drain may write (µs); 0 to drop only
--        2 TTL in ms  3 most posts to keep of a user
--        then for each user: user id; share of the TTL to use, in thousandths; number of posts,
--        then for each: post id, type code
-- reply  1 when they were written, 0 when dropped
-- cost   O(posts)

local prefix, ttl, most = string.match(KEYS[1], '^.-{'), tonumber(ARGV[2]), tonumber(ARGV[3])
local call = redis.call

local function key_of(user, what)
  local shard = tonumber(string.sub(user, -2)) -- the user % 100, where that is beyond a double
  return prefix .. shard .. '}:' .. user .. what
end

local time = call('TIME')
local fresh = time[1] * 1000000 + time[2] < tonumber(ARGV[1])
local loading, at = {}, 4
while at < #ARGV do
  loading[#loading + 1] = key_of(ARGV[at], ':loading')
  at = at + 3 + 2 * tonumber(ARGV[at + 2])
end
for i = 1, #loading, 1000 do -- refuses what readers read before this
  call('DEL', unpack(loading, i, math.min(i + 999, #loading)))
end

at = 4
while at < #ARGV do
  local reactions, posts = key_of(ARGV[at], ':reactions'), tonumber(ARGV[at + 2])
  local first, last = at + 3, at + 2 + 2 * posts
  if fresh then
    write_user(reactions, first, last, most)
    call('PEXPIRE', reactions, math.max(1, math.floor(ttl * ARGV[at + 1] / 1000)))
  else
    for i = first, last, 2 do
      redis.pcall('HDEL', reactions, '0', ARGV[i]) -- what is no hash is not read either
    end
  end
  at = last + 1
end
return fresh and 1 or 0
