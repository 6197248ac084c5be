"""Everything about Redis: connections, keys, scripts, caches, the outbox."""
