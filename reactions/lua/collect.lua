-- collect: put users into the HyperLogLog of a load, unless what it had of them was lost.
--
-- KEYS   1 the loaded HyperLogLog
-- ARGV   1 1 for its first users, which make it, else 0  2 its life in ms  3.. user ids
-- reply  1, or 0 when it was lost: it cannot be used
-- cost   O(users)

local loaded, call = KEYS[1], redis.call

if ARGV[1] == '0' and call('EXISTS', loaded) == 0 then
  return 0
end
call('PFADD', loaded, unpack(ARGV, 3))
call('PEXPIRE', loaded, ARGV[2])
return 1
