"""A model beside the system: any order of reactions, drain steps, crashes, losses and loads.

A drain is taken apart into its steps; each may be the last of its process, may be repeated, or may
come late, after another drain took over. Any cache key may vanish at any moment. A load is
taken apart too. In the end everything is drained, and rows, counts and caches must equal the model.
"""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

from hypothesis import HealthCheck, note
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from reactions import keys
from reactions.model import Status
from reactions.outbox import Claim
from reactions.persist import Batch, Drained
from tests.conftest import Engine

_fresh = itertools.count(1)

USERS = st.integers(1, 2)  # few, so that changes of one reaction meet at every step
WHICH = st.integers(0, 2)  # the first two posts share a shard, the third has another
REACTIONS = st.sampled_from(["like", "love"])


class Drain:
    """One drain somewhere between its steps."""

    def __init__(self, claims: list[Claim]) -> None:
        self.claims = claims
        self.batch: Batch | None = None


class System(RuleBasedStateMachine):
    """The rules; the engine is set by the test, its stores serve all examples."""

    engine: ClassVar[Engine]

    def __init__(self) -> None:
        super().__init__()
        base = next(_fresh) * 10_000
        self.posts = (base + 7, base + 107, base + 8)
        self.model: dict[tuple[int, int], str] = {}
        self.drains: list[Drain] = []
        self.loads: list[tuple[int, str, dict[int, int], dict[int, int]]] = []

    # -- reactions -----------------------------------------------------------------------------

    @rule(user=USERS, which=WHICH, reaction=REACTIONS)
    def react(self, user: int, which: int, reaction: str) -> None:
        post = self.posts[which]
        before = self.model.get((post, user))
        outcome = self.engine.reactions.react(user, post, reaction)
        self._check(outcome.status, before, reaction)
        assert outcome.previous == (None if outcome.status is Status.ACCEPTED else before)
        self.model[post, user] = reaction

    @rule(user=USERS, which=WHICH)
    def unreact(self, user: int, which: int) -> None:
        post = self.posts[which]
        before = self.model.pop((post, user), None)
        self._check(self.engine.reactions.unreact(user, post).status, before, None)

    def _check(self, status: Status, before: str | None, after: str | None) -> None:
        """An outcome is right, or says that it could not know."""
        if status is Status.ACCEPTED:
            return
        if before == after:
            assert status is Status.UNCHANGED
        elif after is None:
            assert status is Status.REMOVED
        else:
            assert status is (Status.CREATED if before is None else Status.REPLACED)

    # -- the drain, step by step ---------------------------------------------------------------

    @rule(stalls=st.booleans())
    def claim(self, stalls: bool) -> None:
        """It may stall at once, beyond its lease, and go on later all the same."""
        shards = {keys.shard_of(post): "" for post in self.posts}
        claims, failed = self.engine.outbox.claim(shards)
        assert not failed
        if claims:
            self.drains.append(Drain(claims))
        if stalls:
            for shard in shards:
                self.engine.client.delete(keys.outbox_lease(shard))

    @precondition(lambda self: self.drains)
    @rule(data=st.data())
    def record(self, data: st.DataObject) -> None:
        """Also a second time, also by one whose lease is another's by now."""
        drain = data.draw(st.sampled_from(self.drains))
        drain.batch = self.engine.persister.record(drain.claims, Drained())

    @precondition(lambda self: any(drain.batch for drain in self.drains))
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        drain = data.draw(st.sampled_from([d for d in self.drains if d.batch]))
        assert drain.batch is not None
        self.engine.persister.settle(drain.claims, drain.batch, Drained())

    @precondition(lambda self: self.drains)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        self.drains.remove(data.draw(st.sampled_from(self.drains)))

    @rule(which=WHICH)
    def lease_lapses(self, which: int) -> None:
        """Its owner may still be at work, and come late."""
        self.engine.client.delete(keys.outbox_lease(keys.shard_of(self.posts[which])))

    @rule()
    def drain(self) -> None:
        self.engine.persister.drain({keys.shard_of(post) for post in self.posts})

    # -- caches come and go --------------------------------------------------------------------

    @rule(
        which=WHICH,
        key=st.sampled_from([keys.post_reactions, keys.post_reaction_counts, keys.post_loading]),
    )
    def evict(self, which: int, key: Any) -> None:
        self.engine.client.delete(key(self.posts[which]))

    @rule(which=WHICH)
    def read_counts(self, which: int) -> None:
        assert all(count >= 0 for count in self.engine.reactions.counts(self.posts[which]).values())

    @rule(which=WHICH)
    def load(self, which: int) -> None:
        self.engine.loader.reactions(self.posts[which])

    @rule(which=WHICH)
    def begin_load(self, which: int) -> None:
        post, token = self.posts[which], f"token{len(self.loads)}"
        if self.engine.hot.fence(post, token):
            rows = self.engine.ledger.reactions([post])[post]
            self.loads.append((post, token, rows, self.engine.ledger.counts([post])[post]))

    @precondition(lambda self: self.loads)
    @rule(data=st.data(), hash_first=st.booleans())
    def end_load(self, data: st.DataObject, hash_first: bool) -> None:
        """Late, after whatever happened meanwhile: installed or refused, never wrong."""
        post, token, rows, counts = data.draw(st.sampled_from(self.loads))
        if hash_first:
            self.engine.hot.install_reactions(post, token, rows)
        else:
            self.engine.hot.install_counts(post, token, counts)

    # -- what must always be true --------------------------------------------------------------

    @invariant()
    def caches_are_right_or_absent(self) -> None:
        codes = self.engine.settings.reaction_types
        stored = self.engine.ledger.counts(self.posts)
        for post, snapshot in zip(self.posts, self.engine.hot.snapshots(self.posts), strict=True):
            if snapshot.counts and not snapshot.claimed:
                settled = {
                    code: stored[post].get(code, 0) + snapshot.delta.get(code, 0)
                    for code in codes.values()
                }
                assert settled == {c: snapshot.counts.get(c, 0) for c in settled}, post
            if snapshot.complete:
                assert snapshot.reactions == {
                    user: codes[name] for (p, user), name in self.model.items() if p == post
                }, post

    def teardown(self) -> None:
        """Everything settles, whatever was left half-done."""
        for post in self.posts:
            self.engine.client.delete(keys.outbox_lease(keys.shard_of(post)))
        self.engine.drain()
        codes = self.engine.settings.reaction_types
        stored = self.engine.ledger.stored(self.posts, 100)
        for post in self.posts:
            rows = {user: codes[n] for (p, user), n in self.model.items() if p == post}
            note(f"post {post}: {stored[post]}, the model has {rows}")
            assert stored[post].rows == rows
            tally = {code: list(rows.values()).count(code) for code in set(rows.values())}
            assert stored[post].tally == tally
            assert {k: v for k, v in stored[post].counts.items() if v} == tally
            shown = self.engine.reactions.counts(post)
            assert {codes[name]: n for name, n in shown.items() if n} == tally
        assert self.engine.outbox.pending() == 0


def test_the_system_agrees_with_the_model(engine: Engine) -> None:
    _run(engine, 80)


def test_it_does_with_batches_so_small_that_posts_are_scanned(engine: Engine) -> None:
    from tests.integration.test_drain import step

    _run(step(engine, 2), 40)


def _run(engine: Engine, examples: int) -> None:
    System.engine = engine
    System.TestCase.settings = hypothesis(
        max_examples=examples,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    System.TestCase().runTest()
