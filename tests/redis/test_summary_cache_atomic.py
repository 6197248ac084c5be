"""summary_cache.py beside a writer: the counts contain the own reaction."""

from __future__ import annotations

import threading

from reactions.core.settings import Settings
from reactions.redis.connection import Client, connect
from reactions.redis.keys import default_keys as keys
from reactions.redis.summary_cache import SummaryCache

POST, USER = 1042, 7


def test_the_counts_contain_the_own_reaction(client: Client, redis_settings: Settings) -> None:
    """A long feed reaches the server in pieces, and a writer comes between them."""
    cache = SummaryCache(client, redis_settings)
    posts = [*range(10_000, 13_000), POST]
    done = threading.Event()

    def flip() -> None:
        name, summary = keys.user_reactions(USER), keys.post_summary(POST)
        with connect(redis_settings) as writer:
            while not done.is_set():
                for code in ("1", "0"):
                    with writer.pipeline(transaction=True) as pipe:
                        pipe.set(summary, f"0,1,{code}")
                        pipe.hset(name, items=[0, 1, POST, code])
                        pipe.execute()

    thread = threading.Thread(target=flip)
    thread.start()
    try:
        for _ in range(150):
            found = cache.read(posts, USER).summaries.get(POST)
            assert found is None or found.reaction is None or found.counts[found.reaction] == 1
    finally:
        done.set()
        thread.join()
