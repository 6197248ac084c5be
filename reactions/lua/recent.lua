-- recent: reads the newest users of a viral post's sample, newest first, with their reactions.
--
-- KEYS   1 post:reactions, and in the same slot its further buckets  2 post:recent
--        3 post:total_reactions
-- ARGV   1 most users
-- reply  {user id, type code, ...}, or {0} when a part of the sample is lost, or when the sample
--        has fewer users than the caller wants although the post has more
-- cost   O(users)

local reactions, recent, total = KEYS[1], KEYS[2], KEYS[3]
local most = tonumber(ARGV[1])
local call = redis.call

local size = size_of(call('HGET', reactions, '0'))
local length = call('LLEN', recent)
if size >= 0 or length == 0 or length < most and length < tonumber(call('GET', total) or most) then
  return {0}
end
local reply = {}
for _, user in ipairs(call('LRANGE', recent, 0, most - 1)) do
  local code = call('HGET', bucket_key(reactions, bucket_of(user, -size)), user)
  if not code then
    return {0}
  end
  reply[#reply + 1] = user
  reply[#reply + 1] = code
end
return reply
