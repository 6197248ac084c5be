-- buckets: spreads a hash of users over several keys, so that each stays a compact listpack.
-- Included by scripts.
--
-- Field `0` of each bucket is its mark. In the first bucket, post:reactions, the mark is the number
-- of buckets, negative for a sample; in the others it is `1`. A bucket without its mark is lost.
-- The hash grows by linear hashing: one more bucket divides only one other. The arithmetic and its
-- reasons are in reactions/redis/buckets.py; a test compares the two.

-- The number of buckets that a mark names, negative for a sample; 0 when there is no mark. A number
-- that no script writes counts as 0, too: loops over the buckets must end.
local function size_of(mark)
  local size = tonumber(mark) or 0
  return size % 1 == 0 and math.abs(size) <= 4096 and size or 0
end

local function bucket_of(user, count)
  -- In two halves, because a double is exact up to 2^53 only.
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

-- Whether a hash of `count` buckets needs more of them: it has more than `full` entries in each, on
-- average, or `count` is no power of two. Then its growth was interrupted, and some buckets have
-- twice as many entries as the others.
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

-- Gives each bucket a new TTL. Returns how many of them exist.
local function refresh_buckets(first, count, ttl)
  local existing = 0
  for bucket = 0, math.abs(count) - 1 do
    existing = existing + redis.call('PEXPIRE', bucket_key(first, bucket), ttl)
  end
  return existing
end
