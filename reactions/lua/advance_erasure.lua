-- advance_erasure: moves the erasure of a user to its next step, unless it was requested again.
--
-- KEYS   1 outbox:forgetting
-- ARGV   1 user id  2 the step that the caller has done  3 the next step, "" when it is finished
-- reply  1, or 0 when the erasure is at another step, as after a new request: nothing was changed
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
