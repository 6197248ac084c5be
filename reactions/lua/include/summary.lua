-- summary: the ready answer to a feed's question about a post. Included by scripts.
--
-- The key post:summary is a string `tier,code,count,...` followed by one entry for each user whose
-- change is in the outbox: `;user:code` for a change that the counts contain already, and, for each
-- later reaction, `;user:previous:code`, which react appends. So the counts with these changes are
-- the cached counts. A user who is not listed has nothing pending, so what the cached reactions of
-- the user say about the post is true. Every other change of the counts or the tier, and every
-- settlement, drops the key. It is a cache: it has a TTL and may vanish at any moment.
--
-- On a cluster, a stamp follows the tier: `tier,0,stamp,code,count,...`. No two summaries of a post
-- have the same. So who reads the same text twice knows that nothing happened to the post between.

-- Most entries of the outbox in a new summary: reading a longer string costs more than it saves.
local MAX_LISTED = 32

-- A stamp: the time of the server in us, which no other script that writes has.
local function new_stamp()
  local now = redis.call('TIME')
  return ',0,' .. now[1] .. string.format('%06d', now[2])
end

-- Writes the summary of a post from its cached counts {code, count, ...}, unless too many changes
-- are in `outbox`, a list of keys: pending comes last, since it has the newer entry of a user.
local function write_summary(base, tier, stamp, counts, outbox, life)
  local parts, waiting = {tier .. stamp .. ',' .. table.concat(counts, ',')}, 0
  for _, key in ipairs(outbox) do
    waiting = waiting + redis.call('HLEN', key)
  end
  if waiting > MAX_LISTED then
    return
  end
  for _, key in ipairs(waiting > 0 and outbox or {}) do
    local entries = redis.call('HGETALL', key)
    for i = 1, #entries, 2 do
      parts[#parts + 1] = entries[i] .. ':' .. (string.match(entries[i + 1], '^%d+') or '')
    end
  end
  -- pcall: when memory is used up, the read that called this goes on without a summary.
  redis.pcall('SET', base .. 'summary', table.concat(parts, ';'), 'PX', life)
end
