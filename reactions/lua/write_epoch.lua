-- write_epoch: writes the epoch of a shard, unless it changed after the caller read it.
--
-- KEYS   1 outbox:epoch
-- ARGV   1 the epoch that was read, "" for none  2 the epoch to write
-- reply  1, or 0 when the epoch is another one: nothing was changed
-- cost   O(1)

if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2])
return 1
