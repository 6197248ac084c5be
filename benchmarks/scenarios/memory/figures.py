"""What is measured: posts, users and deleted posts of various sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

WAYS = ("loaded", "grown", "plain")


@dataclass(frozen=True, slots=True)
class Regular:
    """Posts of one size, kept in one way.

    Attributes:
        way: ``loaded`` by the cache loader; ``grown`` by react() and the persister; or ``plain``:
            one hash user -> type and one hash of counts, each with a TTL.
        keys: keys of one post, on average.
        a_reaction: bytes a reaction.
        a_post: bytes a post.
        tables: share of the buckets that are hash tables and not listpacks.
    """

    server: str
    bits: int
    way: str
    size: int
    posts: int
    keys: float
    a_reaction: float
    a_post: float
    tables: float


@dataclass(frozen=True, slots=True)
class Viral:
    """One viral post.

    Attributes:
        reactors: distinct users that reacted.
        used: the part of used_memory that its keys take.
        usage: the sum of MEMORY USAGE of its keys.
        by_key: MEMORY USAGE by the last part of the key's name; all buckets count as one.
    """

    server: str
    bits: int
    reactors: int
    used: int
    usage: int
    by_key: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Each:
    """Bytes of one user's hash, or of the entry of one deleted post."""

    server: str
    bits: int
    number: int
    """Reactions of the user; or the number of deleted posts in all shards together."""
    bytes: float
