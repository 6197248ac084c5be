-- read_clock: the newest version of a shard, the clock of its server, and the ages of its changes.
--
-- KEYS   1 outbox:clock  2 outbox:dirty
-- ARGV   none
-- reply  {version, time, oldest, newest}, in µs, each a string
--        version  the last one that was given out, as it is stored; "" when there is none
--        time     now, by the clock of this server
--        oldest   when the oldest change that is not durable came; "" when the shard is clean
--        newest   the same of the post that became dirty last
-- cost   O(log N) for N dirty posts

local clock, dirty = KEYS[1], KEYS[2]
local call = redis.call

local version = call('GET', clock) or ''
local time = call('TIME')
local oldest = call('ZRANGE', dirty, 0, 0, 'WITHSCORES')[2] or ''
local newest = call('ZRANGE', dirty, -1, -1, 'WITHSCORES')[2] or ''
return {version, string.format('%.0f', time[1] * 1000000 + time[2]), oldest, newest}
