-- write_epoch: mark a shard of Redis, unless it lost its mark since that was read.
--
-- KEYS   1 outbox:epoch
-- ARGV   1 the mark that was read, empty for none  2 the mark to write
-- reply  1, or 0 when it is another one by now
-- cost   O(1)

if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2])
return 1
