"""docs/keyspace.md lists every key, and says which of them are no cache."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from pathlib import Path

from reactions.redis.keys import default_keys as keys

PAGE = (Path(__file__).parents[2] / "docs/keyspace.md").read_text("utf-8")
CACHE, OUTBOX = PAGE.split("## Outbox: never a TTL, never evicted")

KEPT_OF_POST = (keys.post_pending, keys.post_claimed, keys.post_delta)


def listed(text: str) -> set[str]:
    """The first cells of the tables that are keys."""
    return bare(re.findall(r"^\| `((?:post|user|outbox):[^`]+)` \|", text, re.MULTILINE))


def bare(names: Iterable[str]) -> set[str]:
    """Keys without their shards: the page has examples of two."""
    return {re.sub(r"\{\d+\}", "{}", name) for name in names}


def made(prefix: str, number: int) -> set[str]:
    """What the functions with this prefix make; they take an id or a shard."""
    found = inspect.getmembers(keys, callable)
    makers = [make for name, make in found if name.startswith(prefix)]
    return {str(make(number)) for make in makers}


def test_each_cache_key_is_listed_as_one() -> None:
    of_post = set(keys.of_post(1042)) - {make(1042) for make in KEPT_OF_POST}
    first = keys.post_reactions(1042)
    more = {f"{first}:<n>", keys.post_loaded(1042, "<token>")}
    assert keys.bucket(first, 7) == f"{first}:7"
    assert listed(CACHE) == bare(of_post | more | made("user_", 1017))


def test_each_key_of_the_outbox_is_listed_as_one() -> None:
    of_post = {make(1042) for make in KEPT_OF_POST}
    assert listed(OUTBOX) == bare(of_post | made("outbox_", 42))
