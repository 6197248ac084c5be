-- counts: the counts of a post. Included by scripts.

-- Adds what is pending to the counts of the database, which are ARGV[first] to ARGV[last] as pairs
-- of type code and count. Returns {type code, count, ...}, and the sum of the counts.
local function with_pending(first, last, delta)
  local counted = {}
  for i = first, last, 2 do
    counted[ARGV[i]] = tonumber(ARGV[i + 1])
  end
  local pending = redis.call('HGETALL', delta)
  for i = 1, #pending, 2 do
    counted[pending[i]] = (counted[pending[i]] or 0) + (tonumber(pending[i + 1]) or 0)
  end
  local fields, sum = {}, 0
  for code, count in pairs(counted) do
    fields[#fields + 1] = code
    fields[#fields + 1] = count
    sum = sum + count
  end
  return fields, sum
end

-- Caches the counts {type code, count, ...}, without a TTL. Returns whether there were any before.
local function write_counts(counts, fields)
  local existed = redis.call('DEL', counts) == 1
  if #fields > 0 then
    redis.call('HSET', counts, unpack(fields))
  end
  return existed
end
