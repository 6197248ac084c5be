-- users: what the scripts of a user's cached reactions share. Included by scripts.

-- Writes the pairs ARGV[first] to ARGV[last] and keeps a user with very many reactions bounded: the
-- first fields are the oldest of a listpack, and it stays one, as few pairs are written at a time.
local function write_user(reactions, first, last, most)
  for i = first, last, 20 do
    redis.call('HSET', reactions, unpack(ARGV, i, math.min(i + 19, last)))
    local length = redis.call('HLEN', reactions)
    if length > most then
      local posts = redis.call('HKEYS', reactions)
      redis.call('HDEL', reactions, unpack(posts, 1, length - most + math.floor(most / 4)))
    end
  end
end
