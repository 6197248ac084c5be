-- recent: the newest users of a viral post's sample, newest first, with their reactions.
--
-- KEYS   1 post:reactions, and in the same slot its further buckets  2 post:recent
-- ARGV   1 most users
-- reply  {user id, type code, ...}, or {0} when the sample is not cached whole
-- cost   O(users)

local reactions, recent = KEYS[1], KEYS[2]
local call = redis.call

local size = tonumber(call('HGET', reactions, '0')) or 0
if size >= 0 or call('EXISTS', recent) == 0 then
  return {0}
end
local reply = {}
for _, user in ipairs(call('LRANGE', recent, 0, tonumber(ARGV[1]) - 1)) do
  local code = call('HGET', bucket_key(reactions, bucket_of(user, -size)), user)
  if not code then
    return {0}
  end
  reply[#reply + 1] = user
  reply[#reply + 1] = code
end
return reply
