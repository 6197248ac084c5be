-- install_sample: make a post viral, with its newest reactors in the database and what is
-- pending, unless a claim came in between. A complete hash goes in the same step.
--
-- KEYS   1 post:reactions  2 post:pending  3 post:loading  4 post:delta
--        5 post:viral  6 post:total_reactions  7 post:recent  8 post:uniques
--        9 the loaded HyperLogLogs
--        and in the same slot: the further buckets of post:reactions, the further HyperLogLogs
-- ARGV   1 token of the load  2 TTL in ms  3 most pending entries to overlay
--        4 most users in the sample  5 its buckets  6 reactions of the post in the database
--        7 number of HyperLogLogs: each was written by one command, so it is whole or lost
--        8.. user id, type code, ...: the newest in the database, newest first
-- reply  1, or 0 when the load was refused
-- cost   O(sample + pending x log pending)

local reactions, pending, loading, delta = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local viral, total, recent, uniques, loaded = KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local ttl, most, size = ARGV[2], tonumber(ARGV[4]), tonumber(ARGV[5])
local call = redis.call

local parts, there = {}, 0
for part = 0, tonumber(ARGV[7]) - 1 do
  parts[#parts + 1] = bucket_key(loaded, part)
  there = there + call('EXISTS', parts[#parts])
end
if call('GET', loading) ~= ARGV[1] or call('HLEN', pending) > tonumber(ARGV[3]) then
  for _, part in ipairs(parts) do
    call('UNLINK', part)
  end
  return 0
end

local fresh, changed = {}, {}
local entries = call('HGETALL', pending)
for i = 1, #entries, 2 do
  local code, version = string.match(entries[i + 1], '^(%d+):(%d+)$')
  if code then
    changed[entries[i]] = true
    if code ~= '0' then
      fresh[#fresh + 1] = {entries[i], code, tonumber(version)}
    end
  end
end
table.sort(fresh, function(a, b)
  return a[3] > b[3]
end)
for i = 8, #ARGV, 2 do
  if not changed[ARGV[i]] then
    fresh[#fresh + 1] = {ARGV[i], ARGV[i + 1]}
  end
end

drop_buckets(reactions)
call('UNLINK', loading, recent)
for bucket = 0, size - 1 do
  local home = bucket_key(reactions, bucket)
  call('UNLINK', home) -- what an earlier hash, whose first bucket was lost, may have left
  call('HSET', home, '0', bucket == 0 and -size or 1)
end
for i = 1, math.min(most, #fresh) do
  local user, code = fresh[i][1], fresh[i][2]
  call('RPUSH', recent, user)
  call('HSET', bucket_key(reactions, bucket_of(user, size)), user, code)
end
refresh_buckets(reactions, size, ttl)
call('PEXPIRE', recent, ttl)

if #parts > 0 then
  if there == #parts then
    call('UNLINK', uniques)
    call('PFMERGE', uniques, unpack(parts))
    for user in pairs(changed) do
      call('PFADD', uniques, user)
    end
  end
  for _, part in ipairs(parts) do
    call('UNLINK', part)
  end
end
call('PEXPIRE', uniques, ttl)

local sum = tonumber(ARGV[6])
for _, step in ipairs(call('HVALS', delta)) do
  sum = sum + tonumber(step)
end
call('SET', viral, '1', 'PX', ttl)
call('SET', total, string.format('%.0f', sum), 'PX', ttl)
return 1
