-- users: the cached reactions of a user. Included by scripts.
--
-- Field `0` of user:reactions is the mark. `1` says that the hash has all of the user's reactions:
-- a post that is not in it has none. `0` says that the user has too many for that. Without the
-- mark, nothing is known of a post that is not in the hash.

-- Writes the pairs ARGV[first] to ARGV[last]. When the user then has more than `most` posts, the
-- function drops the mark and the oldest posts, which are the first fields of a listpack. It writes
-- ten pairs at a time, so that the hash never outgrows a listpack.
local function write_user(reactions, first, last, most)
  for i = first, last, 20 do
    local upto = math.min(i + 19, last)
    if type(redis.pcall('HSET', reactions, unpack(ARGV, i, upto))) ~= 'number' then
      redis.call('UNLINK', reactions) -- another type: a drain must not fail because of a cache
      redis.call('HSET', reactions, unpack(ARGV, i, upto))
    end
    local length = redis.call('HLEN', reactions)
    if length > most then
      local posts = redis.call('HKEYS', reactions)
      redis.call('HDEL', reactions, '0', unpack(posts, 1, length - most + math.floor(most / 4)))
    end
  end
end
