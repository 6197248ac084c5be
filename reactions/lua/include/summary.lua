-- summary: the ready answer to a feed's question about a post. Included by scripts.
--
-- The key post:summary is a string `tier,code,count,...` followed by one entry for each user whose
-- change is in the outbox: `;user:code` for a change that the counts contain already, and, for each
-- later reaction, `;user:previous:code`, which react appends. So the counts with these changes are
-- the cached counts. A user who is not listed has nothing pending, so what the cached reactions of
-- the user say about the post is true. Every other change of the counts or the tier, and every
-- settlement, drops the key. It is a cache: it has a TTL and may vanish at any moment.

-- Most entries of the outbox in a new summary: reading a longer string costs more than it saves.
local MAX_LISTED = 32

-- Writes the summary of a post from its cached counts {code, count, ...}, unless too many changes
-- are in `outbox`, a list of keys: pending comes last, since it has the newer entry of a user.
local function write_summary(base, tier, counts, outbox, life)
  local parts, waiting = {tier .. ',' .. table.concat(counts, ',')}, 0
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
