-- install_reactions: make a loaded hash of a post's reactions the cached one, unless a claim came
-- in between. The rows were written to a key of their own in chunks, with the mark of a complete
-- hash in the first: if the key was lost meanwhile, so is the mark. This overlays what is pending.
--
-- KEYS   1 post:reactions  2 post:pending  3 post:loading  4 the loaded hash
-- ARGV   1 token of the load  2 TTL in ms  3 most pending entries to overlay
-- reply  1, or 0 when the load was refused; the loaded hash is gone either way
-- cost   O(pending); the rename and the removal of the old hash do not depend on their size

local reactions, pending, loading, loaded = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local call = redis.call

local whole = call('HEXISTS', loaded, '0') == 1
if not whole or call('GET', loading) ~= ARGV[1] or call('HLEN', pending) > tonumber(ARGV[3]) then
  call('UNLINK', loaded)
  return 0
end
local entries = call('HGETALL', pending)
for i = 1, #entries, 2 do
  local code = string.match(entries[i + 1], '^%d+')
  if code == '0' then
    call('HDEL', loaded, entries[i])
  elseif code then
    call('HSET', loaded, entries[i], code)
  end
end
call('UNLINK', reactions, loading)
call('RENAME', loaded, reactions)
call('PEXPIRE', reactions, ARGV[2])
return 1
