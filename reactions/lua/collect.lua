-- collect: adds users to the HyperLogLog of a load, unless an earlier part of it was lost.
--
-- KEYS   1 post:loading:<token>, the loaded HyperLogLog
-- ARGV   1 1 for the first users, which create the key, else 0  2 life of the key in ms
--        3.. user ids
-- reply  1, or 0 when the key is gone: the load cannot use it
-- cost   O(users)

local loaded, call = KEYS[1], redis.call

if ARGV[1] == '0' and call('EXISTS', loaded) == 0 then
  return 0
end
call('PFADD', loaded, unpack(ARGV, 3))
call('PEXPIRE', loaded, ARGV[2])
return 1
