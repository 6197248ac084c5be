-- fence: announces a load before its caller reads a post's rows, if no claim is open.
--
-- A claim deletes the token. So there are two cases at the install: the token is still there, and
-- the rows plus what is pending are the truth; or the install is refused.
--
-- KEYS   1 post:claimed  2 post:loading  3 post:viral  4 outbox:deleted
-- ARGV   1 token of this load  2 life of the token in ms
--        3 1 to give way to a load that is under way, 0 to replace it
--        4 post id
-- reply  0 when the load is refused: the caller cannot cache what it reads now
--        1 for a regular post, 2 for a viral one, 4 for a rising one
--        3 for a deleted post: its loads are always refused
-- cost   O(1)

local claimed, loading, viral = KEYS[1], KEYS[2], KEYS[3]
local call = redis.call

if call('SISMEMBER', KEYS[4], ARGV[4]) == 1 then
  return 3
end
if call('EXISTS', claimed) == 1 or ARGV[3] == '1' and call('EXISTS', loading) == 1 then
  return 0
end
call('SET', loading, ARGV[1], 'PX', ARGV[2])
local flag = call('GET', viral)
return flag == '2' and 4 or flag and 2 or 1
