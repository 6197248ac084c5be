"""How much of the working set is cached."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from reactions.core.settings import Settings
from reactions.redis.connection import Client
from reactions.redis.post_snapshots import PostSnapshots


@dataclass(frozen=True, slots=True)
class Cached:
    """How much Redis holds.

    Attributes:
        percent: posts with a complete hash, or with a sample if they are viral.
        counts_percent: posts with counts.
        lacking: posts with neither hash nor sample.
    """

    percent: float
    counts_percent: float
    lacking: set[int]


def cached(client: Client, settings: Settings, posts: Iterable[int]) -> Cached:
    """Look up all of these posts."""
    cache, wanted = PostSnapshots(client, settings), list(posts)
    lacking: set[int] = set()
    counted = 0
    for start in range(0, len(wanted), 200):
        chunk = wanted[start : start + 200]
        for post, snapshot in zip(chunk, cache.snapshots(chunk), strict=True):
            counted += bool(snapshot.counts)
            if not (snapshot.complete or snapshot.sampled):
                lacking.add(post)
    return Cached(
        round(100 * (1 - len(lacking) / len(wanted)), 2),
        round(100 * counted / len(wanted), 2),
        lacking,
    )
