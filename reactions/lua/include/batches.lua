-- batches: pass many values to Redis in few calls. Included by scripts.
--
-- Each redis.call costs about a microsecond, so a script passes many values at once. Lua can unpack
-- about 8,000 values; a batch has at most 1,000.

-- Calls `act` with the values list[first] to list[last], at most 1,000 at a time.
local function in_batches(list, first, last, act)
  for i = first, last, 1000 do
    act(unpack(list, i, math.min(i + 999, last)))
  end
end

-- Writes a hash anew from the list {field, value, ...}.
local function write_hash(key, fields)
  redis.call('UNLINK', key)
  in_batches(fields, 1, #fields, function(...)
    redis.call('HSET', key, ...)
  end)
end
