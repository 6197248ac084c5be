-- users: what the scripts of a user's cached reactions share. Included by scripts.
--
-- Field `0` is the mark: `1` when all of the user's reactions are there, so that a post that is not
-- has none; `0` when they are known to be too many for that. Without it, absence says nothing.

-- Writes the pairs ARGV[first] to ARGV[last] and keeps a user with very many reactions bounded: the
-- first fields are the oldest of a listpack, and it stays one, as few pairs are written at a time.
local function write_user(reactions, first, last, most)
  for i = first, last, 20 do
    local upto = math.min(i + 19, last)
    if type(redis.pcall('HSET', reactions, unpack(ARGV, i, upto))) ~= 'number' then
      redis.call('UNLINK', reactions) -- no hash, so not ours: a drain must not fail for a cache
      redis.call('HSET', reactions, unpack(ARGV, i, upto))
    end
    local length = redis.call('HLEN', reactions)
    if length > most then
      local posts = redis.call('HKEYS', reactions)
      redis.call('HDEL', reactions, '0', unpack(posts, 1, length - most + math.floor(most / 4)))
    end
  end
end
