-- install_reactions: makes a loaded hash the complete hash of a regular post, unless a claim came
-- after the fence, and adds what is pending. The caller has written the buckets to keys of their
-- own, each with its mark first: a key that was lost meanwhile has lost its mark, too.
--
-- KEYS   1 post:reactions  2 post:pending  3 post:loading
--        4 post:loading:<token>, the loaded hash
--        5 post:viral  6 post:total_reactions  7 post:recent  8 post:uniques  9 post:summary
--        and in the same slot: the further buckets of both hashes
-- ARGV   1 token of the load  2 TTL in ms  3 most pending entries to overlay  4 buckets loaded
-- reply  1, or 0 when the load was refused; the loaded hash is gone in both cases
-- cost   O(pending + buckets), whatever the size of the hashes

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
call('UNLINK', loading, KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9])
for bucket = 0, size - 1 do
  call('RENAME', bucket_key(loaded, bucket), bucket_key(reactions, bucket))
end
refresh_buckets(reactions, size, ARGV[2])
return 1
