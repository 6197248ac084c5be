-- install_counts: caches a post's counts, database + pending, unless a claim came after the fence.
--
-- KEYS   1 post:reaction_counts  2 post:delta  3 post:loading  4 post:viral  5 post:summary
-- ARGV   1 token of the load  2 TTL in ms  3 TTL in ms of a viral post
--        4 reactions from which a post is viral
--        5 1 to keep post:loading because the load goes on, else 0
--        6.. type code, count in the database, ...
-- reply  {installed, type code, count, ...}: database + pending. `installed` is 0 when the load was
--        refused; the counts may then lack what a drain has claimed
-- cost   O(types)

local counts, delta, loading, viral = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local call = redis.call

local fields, sum = with_pending(6, #ARGV, delta)
if call('GET', loading) ~= ARGV[1] then
  return {0, unpack(fields)}
end
if ARGV[5] == '0' then
  call('DEL', loading)
end
write_counts(counts, fields)
call('UNLINK', KEYS[5])
if #fields > 0 then
  if sum >= tonumber(ARGV[4]) then
    call('SET', viral, '1', 'PX', ARGV[3])
  end
  call('PEXPIRE', counts, call('EXISTS', viral) == 1 and ARGV[3] or ARGV[2])
end
return {1, unpack(fields)}
