-- grow: divide the buckets of a complete hash that has outgrown them, until all are divided.
--
-- KEYS   1 post:reactions, and in the same slot its further buckets
-- ARGV   1 entries in a bucket, on average, from which it is to grow
--        2 most buckets to divide now
-- reply  1 when it is to be called again, else 0
-- cost   O(entries of the divided buckets): about 1 ms each

local reactions = KEYS[1]
local full, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local call = redis.call

-- Moves what belongs there into bucket `new`; false when the bucket to divide was lost.
local function divide(new)
  local width = 1
  while width <= new do
    width = width * 2
  end
  local old_key, new_key = bucket_key(reactions, new - width / 2), bucket_key(reactions, new)
  if call('HEXISTS', old_key, '0') == 0 then
    return false
  end
  local moved, names = {'0', '1'}, {'0'}
  local entries = call('HGETALL', old_key)
  for i = 1, #entries, 2 do
    if entries[i] ~= '0' and bucket_of(entries[i], new + 1) == new then
      moved[#moved + 1], moved[#moved + 2] = entries[i], entries[i + 1]
      names[#names + 1] = entries[i]
    end
  end
  call('UNLINK', new_key) -- what an earlier hash of this post may have left
  for i = 1, #moved, 1000 do
    call('HSET', new_key, unpack(moved, i, math.min(i + 999, #moved)))
  end
  for i = 2, #names, 1000 do
    call('HDEL', old_key, unpack(names, i, math.min(i + 999, #names)))
  end
  call('PEXPIRE', new_key, math.max(1, call('PTTL', reactions)))
  call('HSET', reactions, '0', new + 1)
  return true
end

local size = tonumber(call('HGET', reactions, '0')) or 0
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
