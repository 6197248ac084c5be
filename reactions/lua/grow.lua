-- grow: divides buckets of a complete hash that has outgrown them, until it has enough buckets.
--
-- KEYS   1 post:reactions, and in the same slot its further buckets
-- ARGV   1 entries in a bucket, on average, from which the hash grows
--        2 most buckets to divide in this call
-- reply  1 when the caller should call again, else 0
-- cost   O(entries of the divided buckets): about 1 ms each

local reactions = KEYS[1]
local full, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local call = redis.call

-- Divides one bucket between itself and bucket `new`; false when the bucket is lost. It writes both
-- anew: Redis never turns a hash that became a table back into a listpack, however small it gets.
local function divide(new)
  local width = 1
  while width <= new do
    width = width * 2
  end
  local old_key, new_key = bucket_key(reactions, new - width / 2), bucket_key(reactions, new)
  if call('HEXISTS', old_key, '0') == 0 then
    return false
  end
  local life = math.max(1, call('PTTL', reactions))
  local stays, moves = {'0', '1'}, {'0', '1'}
  local entries = call('HGETALL', old_key)
  for i = 1, #entries, 2 do
    if entries[i] ~= '0' then
      local to = bucket_of(entries[i], new + 1) == new and moves or stays
      to[#to + 1], to[#to + 2] = entries[i], entries[i + 1]
    end
  end
  write_hash(old_key, stays)
  call('PEXPIRE', old_key, life)
  write_hash(new_key, moves) -- an earlier hash of this post may have left a bucket there
  call('PEXPIRE', new_key, life)
  call('HSET', reactions, '0', new + 1)
  return true
end

local size = size_of(call('HGET', reactions, '0'))
if size < 1 then
  return 0
end
local entries = 0
for bucket = 0, size - 1 do
  entries = entries + call('HLEN', bucket_key(reactions, bucket))
end
for new = size, size + most - 1 do
  if not outgrown(new, entries, full) or not divide(new) then
    return 0
  end
end
return outgrown(size + most, entries, full) and 1 or 0
