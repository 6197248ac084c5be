"""Binds each file of ``lua/`` to one typed Python function, a module for each group of callers.

The header of a Lua file is its contract: KEYS, ARGV, reply and cost. A test compares it with these
modules and with a real server.
"""

from reactions.redis.pipeline import Script
from reactions.redis.scripts import drain, loading, lookups, markers, user_cache, writes

__all__ = ["ALL", "drain", "loading", "lookups", "markers", "user_cache", "writes"]

ALL = tuple(Script.registered)
"""Every script: each registers itself when its module, imported above, is loaded."""
