-- fence: before reading a post's rows to cache them, note that no claim is open.
--
-- A claim deletes the token, so what is read between this and the install is either still the
-- truth, together with what is pending, or refused.
--
-- KEYS   1 post:claimed  2 post:loading
-- ARGV   1 token of this load  2 life of the token in ms
-- reply  1, or 0 when a claim is open: what is read now cannot be cached
-- cost   O(1)

if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return 1
