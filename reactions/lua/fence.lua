-- fence: before reading a post's rows to cache them, note that no claim is open.
--
-- A claim deletes the token, so what is read between this and the install is either still the
-- truth, together with what is pending, or refused.
--
-- KEYS   1 post:claimed  2 post:loading  3 post:viral  4 outbox:deleted
-- ARGV   1 token of this load  2 life of the token in ms
--        3 1 to give way to a load that is under way, 0 to take its place
--        4 post id
-- reply  0 when it is refused: what is read now cannot be cached
--        1 for a regular post, 2 for a viral one
--        3 for a deleted one: refused for ever
--        4 for one that is on its way to become viral, and treated so
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
