-- write_through_users: writes what a drain has committed to the users' cached reactions, if there
-- are any, before the drain settles the batch. A user whom nobody read lately has none, and costs
-- one command. While its lease lasts, a drain is the only writer of its posts, so
-- what it committed is the newest. After that, this script drops the cached reactions instead.
--
-- KEYS   1 user:reactions of a user, followed by user:reactions of one user of each further shard
--        and of each user, in the user's slot: reactions, loading
-- ARGV   1 until when the drain may write, in µs; 0 to drop only
--        2 TTL in ms  3 most posts to keep of a user
--        then for each user: user id; share of the TTL to use, in thousandths; number of posts,
--        then for each: post id, type code
-- reply  1 when the reactions were written, 0 when they were dropped
-- cost   O(posts)

local prefix, suffix = string.match(KEYS[1], '^(.-{).*:reactions(.*)$') -- suffix: of the space
local ttl, most = tonumber(ARGV[2]), tonumber(ARGV[3])
local call = redis.call

local function key_of(user, what)
  local shard = tonumber(string.sub(user, -2)) -- user % 100, also for an id beyond 2^53
  return prefix .. shard .. '}:' .. user .. what .. suffix
end

local time = call('TIME')
local fresh = time[1] * 1000000 + time[2] < tonumber(ARGV[1])
local loading, at = {}, 4
while at < #ARGV do
  loading[#loading + 1] = key_of(ARGV[at], ':loading')
  at = at + 3 + 2 * tonumber(ARGV[at + 2])
end
-- What a reader has read from the database before this is outdated: its install is refused.
in_batches(loading, 1, #loading, function(...) call('DEL', ...) end)

at = 4
while at < #ARGV do
  local reactions, posts = key_of(ARGV[at], ':reactions'), tonumber(ARGV[at + 2])
  local first, last = at + 3, at + 2 + 2 * posts
  if fresh and call('EXISTS', reactions) == 1 then
    write_user(reactions, first, last, most)
    call('PEXPIRE', reactions, math.max(1, math.floor(ttl * ARGV[at + 1] / 1000)))
  elseif not fresh then
    for i = first, last, 2 do
      redis.pcall('HDEL', reactions, '0', ARGV[i]) -- a key of another type is not read either
    end
  end
  at = last + 1
end
return fresh and 1 or 0
