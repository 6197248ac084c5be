-- lease: which drain may work on a shard, and for how long. Included by scripts.
--
-- The lease is a string `token|expiry in µs|contended`. The token names one claim. `contended` is 1
-- when another drain wanted the shard meanwhile, else 0. Only the owner of the token may settle.

local function now_us()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- Token, expiry and `contended` as strings; nil when there is no lease that a script has written.
local function read_lease(lease)
  return string.match(redis.call('GET', lease) or '', '^([^|]*)|(%d+)|(%d)$')
end

local function write_lease(lease, token, expiry, contended)
  redis.call('SET', lease, token .. '|' .. string.format('%.0f', expiry) .. '|' .. contended)
end

-- Whether another drain has the shard; if so, the lease is marked as contended. A lease that ends
-- later than `longest` µs from now was written before the clock stepped back: it does not count.
local function leased_to_another(lease, previous, now, longest)
  local owner, expiry = read_lease(lease)
  local left = owner and owner ~= previous and tonumber(expiry) - now
  if not left or left <= 0 or left > longest then
    return false
  end
  write_lease(lease, owner, expiry, 1)
  return true
end
