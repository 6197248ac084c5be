-- install_counts: cache a post's counts, database + pending, unless a claim came in between.
--
-- KEYS   1 post:reaction_counts  2 post:delta  3 post:loading  4 post:viral
-- ARGV   1 token of the load  2 TTL in ms  3 TTL in ms of a viral post  4 reactions from which it
--        is viral  5 1 to keep the token, as the load goes on
--        6.. type code, count in the database, ...
-- reply  {installed, type code, count, ...}: database + pending; installed is 0 when the load was
--        refused, and the counts may then lack what a claim holds
-- cost   O(types)

local counts, delta, loading, viral = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local call = redis.call

local total = {}
for i = 6, #ARGV, 2 do
  total[ARGV[i]] = tonumber(ARGV[i + 1])
end
local pending = call('HGETALL', delta)
for i = 1, #pending, 2 do
  total[pending[i]] = (total[pending[i]] or 0) + tonumber(pending[i + 1])
end
local fields, sum = {}, 0
for code, count in pairs(total) do
  fields[#fields + 1] = code
  fields[#fields + 1] = count
  sum = sum + count
end

local installed = 0
if call('GET', loading) == ARGV[1] then
  call('DEL', counts)
  if ARGV[5] == '0' then
    call('DEL', loading)
  end
  if #fields > 0 then
    if sum >= tonumber(ARGV[4]) then
      call('SET', viral, '1', 'PX', ARGV[3])
    end
    call('HSET', counts, unpack(fields))
    call('PEXPIRE', counts, call('EXISTS', viral) == 1 and ARGV[3] or ARGV[2])
  end
  installed = 1
end
return {installed, unpack(fields)}
