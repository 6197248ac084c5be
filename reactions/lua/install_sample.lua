-- install_sample: caches a viral or rising post: the sample of its newest reactors, from the
-- database and from what is pending, unless a claim came after the fence. It replaces a complete
-- hash in the same step.
--
-- KEYS   1 post:reactions  2 post:pending  3 post:loading  4 post:delta
--        5 post:viral  6 post:total_reactions  7 post:recent  8 post:uniques
--        9 post:loading:<token>, the loaded HyperLogLog  10 post:summary
--        and in the same slot: the further buckets of post:reactions
-- ARGV   1 token of the load  2 TTL in ms  3 most pending entries to overlay
--        4 most users in the sample  5 its buckets  6 reactions of the post in the database
--        7.. user id, type code, ...: the newest in the database, newest first
-- reply  1, or 0 when the load was refused
-- cost   O(sample + pending x log pending)

local reactions, pending, loading, delta = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local viral, total, recent, uniques, loaded = KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local ttl, most, size = ARGV[2], tonumber(ARGV[4]), tonumber(ARGV[5])
local call = redis.call

if call('GET', loading) ~= ARGV[1] or call('HLEN', pending) > tonumber(ARGV[3]) then
  call('UNLINK', loaded)
  return 0
end

-- Sorts plain numbers, the versions: a comparison function in Lua would take five times as long.
local versions, places, changed, users = {}, {}, {}, {}
local entries = call('HGETALL', pending)
for i = 1, #entries, 2 do
  local code, version = string.match(entries[i + 1], '^(%d+):(%d+)$')
  if code then
    changed[entries[i]] = true
    users[#users + 1] = entries[i]
    if code ~= '0' then
      version = tonumber(version)
      versions[#versions + 1] = version
      places[version] = i
    end
  end
end
table.sort(versions)

drop_buckets(reactions)
call('UNLINK', loading, recent, KEYS[10])
local order, buckets = {}, {}
for bucket = 0, size - 1 do
  buckets[bucket] = {'0', bucket == 0 and -size or 1}
end
local function add(user, code)
  local home = buckets[bucket_of(user, size)]
  order[#order + 1], home[#home + 1], home[#home + 2] = user, user, code
end
for i = #versions, math.max(1, #versions - most + 1), -1 do
  local place = places[versions[i]]
  add(entries[place], string.match(entries[place + 1], '^%d+'))
end
for i = 7, #ARGV, 2 do
  if #order < most and not changed[ARGV[i]] then
    add(ARGV[i], ARGV[i + 1])
  end
end
for bucket = 0, size - 1 do
  write_hash(bucket_key(reactions, bucket), buckets[bucket])
end
in_batches(order, 1, #order, function(...) call('RPUSH', recent, ...) end)
refresh_buckets(reactions, size, ttl)
call('PEXPIRE', recent, ttl)

if call('EXISTS', loaded) == 1 then
  call('RENAME', loaded, uniques)
  in_batches(users, 1, #users, function(...) call('PFADD', uniques, ...) end)
end
call('PEXPIRE', uniques, ttl)
local sum = tonumber(ARGV[6])
for _, change in ipairs(call('HVALS', delta)) do
  sum = sum + tonumber(change)
end
call('SET', viral, call('GET', viral) or '1', 'PX', ttl) -- a rising post stays a rising one
call('SET', total, string.format('%.0f', sum), 'PX', ttl)
return 1
