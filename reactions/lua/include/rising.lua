-- rising: whether a post that is not viral will be so soon. Included by scripts.
--
-- The key post:rate is a string `rate|at|total`: reactions per µs, as an average in which growth of
-- one window ago weighs 1/e; when it was measured, in µs; and the post's reactions at that time.

-- Whether the post reaches the threshold within the horizon if it keeps growing at its rate. A post
-- that has a sample already gets twice the horizon, so that its tier does not change to and fro.
local function is_rising(base, sum, sampled, rules)
  if rules.horizon == 0 or sum < rules.watched then
    return false
  end
  local known = redis.call('GET', base .. ':rate') or ''
  local rate, since, last = string.match(known, '^([^|]+)|(%d+)|(%d+)$')
  local step = math.max(0, tonumber(rules.at) - (tonumber(since) or 0))
  rate = (tonumber(rate) or 0) * math.exp(-step / rules.window)
    + math.max(0, sum - (tonumber(last) or sum)) / rules.window
  redis.call('SET', base .. ':rate', string.format('%.9g|%s|%.0f', rate, rules.at, sum),
    'PX', math.ceil(rules.window / 100)) -- ten windows in ms: growth before that weighs nothing
  return rules.threshold - sum <= rate * rules.horizon * (sampled and 2 or 1)
end
