-- tiers: decides whether a post is regular, rising or viral. Included after buckets and rising.
--
-- A post is viral from `rules.threshold` reactions on, until it has fewer than `rules.low`. Below
-- the threshold it is rising when it will soon be viral. A rising post is cached like a viral one:
-- a sample of its newest reactors instead of everyone's reaction. The key post:viral is `1` for a
-- viral post, `2` for a rising one, and absent for a regular one.

-- What a settlement reports of a post; reactions/redis/scripts/drain.py has the same numbers.
local LOAD_HASH, LOAD_SAMPLE, GROW_HASH, BECAME_VIRAL, BECAME_REGULAR, RISING = 1, 2, 3, 4, 5, 6

-- Renews the caches of a viral or rising post. Returns LOAD_SAMPLE when the sample is missing,
-- damaged or too short. A complete hash (size > 0) stays in use until the sample replaces it.
local function renew_viral(base, size, sum, life, most)
  redis.call('PEXPIRE', base .. ':reaction_counts', life)
  if size > 0 then
    refresh_buckets(base .. ':reactions', size, life)
    return LOAD_SAMPLE
  end
  redis.call('SET', base .. ':total_reactions', string.format('%.0f', sum), 'PX', life)
  redis.call('PEXPIRE', base .. ':uniques', life)
  local lacking = size == 0
    or redis.call('PEXPIRE', base .. ':recent', life) == 0
    or refresh_buckets(base .. ':reactions', size, life) < -size
    or redis.call('LLEN', base .. ':recent') < math.min(most, sum)
  return lacking and LOAD_SAMPLE
end

-- Renews the caches of a regular post. Returns LOAD_HASH when the complete hash is damaged, or when
-- it is missing and the post is in use: its counts were cached. Returns GROW_HASH when it is full.
local function renew_regular(base, size, sum, life, in_use, full)
  redis.call('PEXPIRE', base .. ':reaction_counts', life)
  if size == 0 then
    return in_use and LOAD_HASH
  end
  if refresh_buckets(base .. ':reactions', size, life) < size then
    return LOAD_HASH
  end
  return outgrown(size, sum, full) and GROW_HASH
end

-- Decides the tier of a post and renews its caches. Returns the new tier (BECAME_VIRAL,
-- BECAME_REGULAR or RISING; nil when it stays), and what to load (nil or false for nothing).
local function settle_tier(base, sum, in_use, share, hot, rules)
  local function life_of(ttl)
    return math.max(1, math.floor(ttl * share / 1000))
  end
  local size = size_of(redis.call('HGET', base .. ':reactions', '0'))
  local flag = redis.call('GET', base .. ':viral')
  local sampled = flag or size < 0
  local rising = sum < rules.threshold and is_rising(base, sum, sampled, rules)
  if sum >= rules.threshold or sampled and sum >= rules.low or rising then
    local viral = sum >= rules.threshold or sum >= rules.low and sampled and flag ~= '2'
    local new, life = viral and '1' or '2', life_of(rules.viral_ttl)
    redis.call('SET', base .. ':viral', new, 'PX', life)
    return new ~= flag and (viral and BECAME_VIRAL or RISING) or nil,
      renew_viral(base, size, sum, life, rules.sample)
  end
  if sampled then
    redis.call('UNLINK', base .. ':viral', base .. ':total_reactions', base .. ':recent',
      base .. ':uniques')
  end
  if size < 0 then
    drop_buckets(base .. ':reactions')
    size = 0
  end
  local life = life_of(hot and rules.hot_ttl or size > 0 and rules.regular_ttl or rules.cold_ttl)
  return sampled and BECAME_REGULAR or nil,
    renew_regular(base, size, sum, life, in_use, rules.full)
end
