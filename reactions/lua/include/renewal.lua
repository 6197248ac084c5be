-- renewal: keeps the caches of a post that is read. Included after buckets.

-- Gives a post's caches a life of `life` ms again when less than half of it is left. `base` is the
-- prefix of the post's keys, with its colon; `size` the number of buckets of `reactions`.
local function renew(base, reactions, size, life)
  local left = redis.call('PTTL', base .. 'reaction_counts')
  if size ~= 0 then
    left = math.min(left, redis.call('PTTL', reactions))
  end
  if left < life / 2 then
    redis.call('PEXPIRE', base .. 'reaction_counts', life)
    refresh_buckets(reactions, size, life)
    for _, name in ipairs({'viral', 'total_reactions', 'recent', 'uniques'}) do
      redis.call('PEXPIRE', base .. name, life)
    end
  end
end
