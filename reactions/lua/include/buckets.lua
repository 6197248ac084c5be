-- buckets: how a hash of users is spread over keys that each stay a listpack. Included by scripts.
--
-- Field `0` of the first bucket, the brief's key, is the mark: the number of buckets, negative for
-- the sample of a viral post. Field `0` of any other is `1`. A bucket without its mark is lost.
-- Linear hashing: to grow by one bucket, only one other is divided. reactions/redis/buckets.py has
-- the same arithmetic, with the reasons; a test compares the two.

-- The number of buckets that a mark names, negative for a sample; 0 for none, and for a number that
-- is beyond any that was written here: the server would count up to it.
local function size_of(mark)
  local size = tonumber(mark) or 0
  return size % 1 == 0 and math.abs(size) <= 4096 and size or 0
end

local function bucket_of(user, count)
  -- In two halves, as a double is exact up to 2^53 only.
  local low = tonumber(string.sub(user, -9)) or 0
  local high = tonumber(string.sub(user, 1, -10)) or 0
  local spread = ((high % 4194301) * (1000000000 % 4194301) + low) % 4194301 * 2592221 % 4194301
  local width = 1
  while width < count do
    width = width * 2
  end
  local bucket = spread % width
  return bucket < count and bucket or bucket - width / 2
end

-- Whether a hash in `count` buckets is to have more for its entries, on average `full` in each, or
-- was left in the middle of growing: a power of two has no buckets that are fuller than others.
local function outgrown(count, entries, full)
  return entries > count * full or math.frexp(count) ~= 0.5
end

local function bucket_key(first, bucket)
  return bucket == 0 and first or first .. ':' .. bucket
end

local function drop_buckets(first)
  local count = math.max(1, math.abs(size_of(redis.call('HGET', first, '0'))))
  for bucket = 0, count - 1 do
    redis.call('UNLINK', bucket_key(first, bucket))
  end
end

-- How many of the buckets are there, each with a new TTL.
local function refresh_buckets(first, count, ttl)
  local there = 0
  for bucket = 0, math.abs(count) - 1 do
    there = there + redis.call('PEXPIRE', bucket_key(first, bucket), ttl)
  end
  return there
end
