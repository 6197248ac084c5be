-- advance_erasure: move the erasure of a user to its next step, unless a new request came in.
--
-- KEYS   1 outbox:forgetting
-- ARGV   1 user id  2 the step it was at  3 its next step, or "" when it is finished
-- reply  1, or 0 when it was asked for anew: nothing was changed
-- cost   O(1)

local forgetting, user, step = KEYS[1], ARGV[1], ARGV[3]

if redis.call('HGET', forgetting, user) ~= ARGV[2] then
  return 0
end
if step == '' then
  redis.call('HDEL', forgetting, user)
else
  redis.call('HSET', forgetting, user, step)
end
return 1
