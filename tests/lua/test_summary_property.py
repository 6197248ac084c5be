"""The ready summary of a post, whatever happens to the post: it is right, or it is not there."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from reactions.redis.keys import default_keys as keys
from tests.lua.support import (
    POST,
    acknowledge,
    claim,
    fields,
    key_of,
    lookup,
    names,
    react,
    read_summary,
    rows,
)
from tests.support.loads import SingleLoads
from tests.support.profiles import examples

CROWD = 33  # one more than a new summary lists

_fresh = itertools.count(POST, 100)  # posts of the shard

REACT = st.tuples(st.just("react"), st.integers(1, 4), st.integers(0, 3))
DRAIN = st.tuples(st.sampled_from(["claim", "settle"]))
LOOKUP = st.just(("lookup",))
OTHER = st.one_of(
    st.tuples(st.sampled_from(["lapse", "install_counts"])),
    st.tuples(st.just("vanish"), st.integers(0, 20)),
    st.tuples(st.just("crowd"), st.integers(1, 3)),
)
STEPS = st.one_of(REACT, DRAIN, LOOKUP, OTHER)
BEGINNING: list[tuple[Any, ...]] = [
    ("react", 1, 1),
    ("react", 2, 1),
    ("claim",),
    ("settle",),
    ("lookup",),
]
"""A summary is there from the start."""


class Shadow:
    """What the counts must be, and what the database has, kept beside the scripts."""

    def __init__(self, redis: Redis, store: SingleLoads) -> None:
        self.redis, self.store = redis, store
        self.post = next(_fresh)
        self.counts: dict[int, int] = {}
        self.stored: dict[int, int] = {}
        self.claims: list[tuple[str, Any]] = []

    def step(self, what: str, *details: int) -> None:
        getattr(self, f"_{what}")(*details)
        self._check()

    def _react(self, user: int, code: int) -> None:
        reply = react(self.redis, user, code, self.post)
        if reply.version:
            for of, change in ((reply.previous, -1), (code, 1)):
                self.counts[of] = self.counts.get(of, 0) + change

    def _crowd(self, code: int) -> None:
        for user in range(1, CROWD + 1):
            self._react(user, code)

    def _claim(self) -> None:
        token = f"{self.post}.{len(self.claims)}"
        taken = claim(self.redis, token)
        if len(taken) > 3:
            self.claims.append((token, taken))

    def _settle(self) -> None:
        if not self.claims:
            return
        token, taken = self.claims[-1]
        self.claims.clear()
        self.stored |= rows(taken)[self.post]
        if acknowledge(self.redis, token, taken, {self.post: self._tally()})[0]:
            self._settled()

    def _lapse(self) -> None:
        self.redis.delete(keys.outbox_lease(self.post % 100))

    def _lookup(self) -> None:
        lookup(self.redis, 1, self.post)

    def _install_counts(self) -> None:
        if self.store.fence(self.post, "t"):
            self.store.install_counts(self.post, "t", self._tally())
            self._settled()

    def _vanish(self, which: int) -> None:
        outbox = {"pending", "claimed", "delta"}
        caches = sorted(names(self.redis, self.post) - outbox)
        if caches:
            self.redis.delete(key_of(caches[which % len(caches)], self.post))

    def _tally(self) -> dict[int, int]:
        codes = [code for code in self.stored.values() if code]
        return {code: codes.count(code) for code in set(codes)}

    def _settled(self) -> None:
        self.counts = self._tally()
        for code, change in fields(self.redis, keys.post_delta(self.post)).items():
            self.counts[code] = self.counts.get(code, 0) + change

    def _check(self) -> None:
        found = read_summary(self.redis, self.post)
        if found is None:
            return
        tier, counts, listed = found
        assert tier == 0
        assert counts == {code: n for code, n in self.counts.items() if code and n}
        cached = fields(self.redis, keys.post_reaction_counts(self.post))
        assert not cached or counts == {code: n for code, n in cached.items() if n}
        outbox: dict[bytes, bytes] = {}
        for key in (keys.post_claimed(self.post), keys.post_pending(self.post)):
            entries: Any = self.redis.hgetall(key)
            outbox |= entries
        waiting = {int(user): int(entry.split(b":")[0]) for user, entry in outbox.items()}
        assert listed.items() >= waiting.items()
        assert self.redis.pttl(keys.post_summary(self.post)) > 0


@settings(
    max_examples=examples(100),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=st.lists(STEPS, max_size=30))
def test_a_summary_always_folds_to_the_counts(
    redis: Redis, store: SingleLoads, steps: list[tuple[Any, ...]]
) -> None:
    """And it lists everyone whose change is in the outbox, with the newest code."""
    redis.flushall()
    shadow = Shadow(redis, store)
    for step in [*BEGINNING, *steps]:
        shadow.step(*step)
