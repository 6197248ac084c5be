"""Access to Redis: connections, keys, scripts, caches and the outbox."""
