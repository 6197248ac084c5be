-- buckets: how a hash of users is spread over keys that each stay a listpack. Included by scripts.
--
-- Field `0` of the first bucket, the brief's key, is the mark: the number of buckets, negative for
-- the sample of a viral post. Field `0` of any other is `1`. A bucket without its mark is lost.
-- Linear hashing: to grow by one bucket, only one other is divided. reactions/buckets.py has the
-- same arithmetic, and a test holds the two against each other.

local function bucket_of(user, count)
  -- A prime spreads ids with a common factor too; in two halves, as a double ends at 2^53.
  local low = tonumber(string.sub(user, -9)) or 0
  local high = tonumber(string.sub(user, 1, -10)) or 0
  local width = 1
  while width < count do
    width = width * 2
  end
  local bucket = ((high % 65521) * (1000000000 % 65521) + low) % 65521 % width
  return bucket < count and bucket or bucket - width / 2
end

local function bucket_key(first, bucket)
  return bucket == 0 and first or first .. ':' .. bucket
end

local function drop_buckets(first)
  local count = math.abs(tonumber(redis.call('HGET', first, '0')) or 1)
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
