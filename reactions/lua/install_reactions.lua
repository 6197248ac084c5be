-- install_reactions: make a loaded hash of a regular post the cached one, unless a claim came in
-- between. Its buckets were written to keys of their own, each with its mark first: if a key was
-- lost meanwhile, so is its mark. This overlays what is pending.
--
-- KEYS   1 post:reactions  2 post:pending  3 post:loading  4 the loaded hash
--        5 post:viral  6 post:total_reactions  7 post:recent  8 post:uniques
--        and in the same slot: the further buckets of both hashes
-- ARGV   1 token of the load  2 TTL in ms  3 most pending entries to overlay  4 buckets loaded
-- reply  1, or 0 when the load was refused; the loaded hash is gone either way
-- cost   O(pending + buckets); the renames and the removal of the old hash do not depend on size

local reactions, pending, loading, loaded = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local size = tonumber(ARGV[4])
local call = redis.call

local fits = call('GET', loading) == ARGV[1] and call('HLEN', pending) <= tonumber(ARGV[3])
for bucket = 0, size - 1 do
  fits = fits and call('HEXISTS', bucket_key(loaded, bucket), '0') == 1
end
if not fits then
  for bucket = 0, size - 1 do
    call('UNLINK', bucket_key(loaded, bucket))
  end
  return 0
end

local entries = call('HGETALL', pending)
for i = 1, #entries, 2 do
  local user, code = entries[i], string.match(entries[i + 1], '^%d+')
  local home = bucket_key(loaded, bucket_of(user, size))
  if code == '0' then
    call('HDEL', home, user)
  elseif code then
    call('HSET', home, user, code)
  end
end
drop_buckets(reactions)
call('UNLINK', loading, KEYS[5], KEYS[6], KEYS[7], KEYS[8])
for bucket = 0, size - 1 do
  call('RENAME', bucket_key(loaded, bucket), bucket_key(reactions, bucket))
end
refresh_buckets(reactions, size, ARGV[2])
return 1
