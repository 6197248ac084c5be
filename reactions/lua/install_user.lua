-- install_user: caches reactions of a user that a read found in the database, unless a drain wrote
-- to the user's cache after the read began.
--
-- KEYS   1 user:reactions  2 user:loading
-- ARGV   1 token of the load  2 TTL in ms  3 most posts to keep of a user
--        4 the mark: 1 when these are all of the user's reactions, 0 when there are too many
--        5.. post id, type code (0: no reaction), ...
-- reply  1, or 0 when the load was refused
-- cost   O(posts)

local reactions, loading = KEYS[1], KEYS[2]
local call = redis.call

if call('GET', loading) ~= ARGV[1] then
  return 0
end
call('DEL', loading)
if ARGV[4] == '1' then
  call('UNLINK', reactions)
end
call('HSET', reactions, '0', ARGV[4])
write_user(reactions, 5, #ARGV, tonumber(ARGV[3]))
call('PEXPIRE', reactions, ARGV[2])
return 1
