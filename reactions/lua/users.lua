-- users: what the scripts of a user's cached reactions share. Included by scripts.

-- Keeps a user with very many reactions bounded: the first fields are the oldest of a listpack.
local function trim_user(reactions, most)
  local length = redis.call('HLEN', reactions)
  if length > most then
    local posts = redis.call('HKEYS', reactions)
    redis.call('HDEL', reactions, unpack(posts, 1, length - most + math.floor(most / 4)))
  end
end
