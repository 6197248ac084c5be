"""Binds each file of ``lua/`` to one typed Python function; each module is for one kind of caller.

The header of a Lua file is its contract: KEYS, ARGV, reply and cost. ``tests/lua`` compares the
headers with these functions, and runs every script on real servers.
"""

from reactions.redis.pipeline import Script
from reactions.redis.scripts import drain, loading, lookups, markers, user_cache, writes

__all__ = ["ALL", "drain", "loading", "lookups", "markers", "user_cache", "writes"]

ALL = tuple(Script.registered)
"""Every script: importing a module above registers its scripts."""
