"""A model beside the system: reactions, drain steps, crashes, evictions, loads, erasures.

Hypothesis runs them in any order. It runs each step of a drain alone: a step may be the last one of
its process, may be repeated, or may come late, after another drain took over. It divides loads of
posts and of users into steps as well. Any cache key may be evicted at any moment. The sample, the
buckets and the threshold are so small that posts often change their tier, grow and shrink. At the
end the test drains everything, and the rows, the counts and the caches must equal the model.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, note
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

from reactions.core.constants import MAX_WHOLE_USER, shard_of
from reactions.core.errors import PostDeleted
from reactions.core.model import Row, Status, Summary, Tier
from reactions.drain.batch import Batch, Drained
from reactions.drain.persister import Persister
from reactions.maintenance.checker import PostChecker
from reactions.maintenance.compare import GAPS
from reactions.maintenance.verify import Verifier
from reactions.postgres.stored import read_stored
from reactions.redis import buckets
from reactions.redis.claims import Claim
from reactions.redis.keys import keys_of
from reactions.redis.pipeline import run_many
from reactions.redis.replies import Snapshot
from reactions.redis.summary_parser import DELETED, fold_changes, parse_base
from reactions.redis.user_cache import UserCache
from tests.support.engine import Engine, make_engine
from tests.support.profiles import examples
from tests.support.reading import shrink
from tests.support.spaces import own_spaces

pytestmark = pytest.mark.slow

_fresh = itertools.count(1)

SAMPLE = 3
THRESHOLD = 4
USERS = st.integers(1, 6)
FEW = st.integers(1, 2)  # few users, so that changes of one reaction meet at every step
WHICH = st.integers(0, 2)  # the first two posts share a shard, the third has another
REACTIONS = st.sampled_from(["like", "love"])


class Drain:
    """A drain between two of its steps."""

    def __init__(self, claims: list[Claim]) -> None:
        self.claims = claims
        self.batch: Batch | None = None


@dataclass
class Load:
    """A load of a post between its read and its install."""

    post: int
    token: str
    rows: dict[int, int]
    counts: dict[int, int]
    newest: list[Row]
    ever: list[int]


@dataclass
class UserLoad:
    """A load of a user between its read and its install."""

    user: int
    token: str
    found: dict[int, int]
    whole: bool


class System(RuleBasedStateMachine):
    """The rules. The test sets the engine; its stores serve all examples."""

    engine: ClassVar[Engine]
    other: ClassVar[Engine | None] = None
    """Another space of the same stores, in which the same users react to the same ids."""

    def __init__(self) -> None:
        super().__init__()
        base = next(_fresh) * 10_000
        self.posts = (base + 7, base + 107, base + 8)
        self.first = base  # first user id: no other example has these users
        self.keys = keys_of(self.engine.settings.space)
        self.others: dict[tuple[int, int], str] = {}  # of the other space
        self.users = UserCache(self.engine.client, self.engine.settings)
        self.model: dict[tuple[int, int], str] = {}
        self.versions: dict[tuple[int, int], int] = {}
        self.ever: set[tuple[int, int]] = set()
        self.touched: set[tuple[int, int]] = set()
        self.deleted: set[int] = set()
        self.drains: list[Drain] = []
        self.loads: list[Load] = []
        self.user_loads: list[UserLoad] = []

    # -- reactions -------------------------------------------------------------------------------

    @rule(user=st.one_of(FEW, USERS), which=WHICH, reaction=REACTIONS)
    def react(self, user: int, which: int, reaction: str) -> None:
        user, post = self.first + user, self.posts[which]
        if post in self.deleted:
            with pytest.raises(PostDeleted):
                self.engine.reactions.react(user, post, reaction)
            return
        before = self.model.get((post, user))
        outcome = self.engine.reactions.react(user, post, reaction)
        self._check(outcome.status, before, reaction)
        assert outcome.previous == (None if outcome.status is Status.ACCEPTED else before)
        self.model[post, user] = reaction
        self.versions[post, user] = outcome.version or self.versions[post, user]
        self.ever.add((post, user))
        self.touched.add((post, user))

    @rule(which=WHICH, reaction=REACTIONS)
    def everyone_reacts(self, which: int, reaction: str) -> None:
        for user in range(1, 7):
            self.react(user, which, reaction)

    @rule(user=st.one_of(FEW, USERS), which=WHICH)
    def unreact(self, user: int, which: int) -> None:
        user, post = self.first + user, self.posts[which]
        if post in self.deleted:
            with pytest.raises(PostDeleted):
                self.engine.reactions.unreact(user, post)
            return
        before = self.model.pop((post, user), None)
        self.touched.add((post, user))
        self._check(self.engine.reactions.unreact(user, post).status, before, None)

    def _check(self, status: Status, before: str | None, after: str | None) -> None:
        """An outcome is right, or says that the previous reaction is unknown."""
        if status is Status.ACCEPTED:
            return
        if before == after:
            assert status is Status.UNCHANGED
        elif after is None:
            assert status is Status.REMOVED
        else:
            assert status is (Status.CREATED if before is None else Status.REPLACED)

    # -- the drain, step by step -----------------------------------------------------------------

    @rule(stalls=st.booleans())
    def claim(self, stalls: bool) -> None:
        """Claim; the drain may stall until its lease has expired, and continue later."""
        shards = {shard_of(post): "" for post in self.posts}
        claims, failed = self.engine.outbox.claim(shards)
        assert not failed
        if claims:
            self.drains.append(Drain(claims))
        if stalls:
            self._expire_leases()
            for claim in claims:
                claim.claimed_at -= 10_000_000  # the drain thinks that it claimed 10 s ago

    @precondition(lambda self: self.drains)
    @rule(data=st.data())
    def record(self, data: st.DataObject) -> None:
        """Record, perhaps a second time, or after another drain has taken the lease."""
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

    @rule()
    def leases_expire(self) -> None:
        """The owners of the leases may still be at work, and come late."""
        self._expire_leases()
        for drain in self.drains:
            for claim in drain.claims:
                claim.claimed_at -= 10_000_000

    def _expire_leases(self) -> None:
        for post in self.posts:
            self.engine.client.delete(self.keys.outbox_lease(shard_of(post)))

    @rule()
    def drain(self) -> None:
        self.engine.persister.drain({shard_of(post) for post in self.posts})

    # -- another space ---------------------------------------------------------------------------

    @precondition(lambda self: self.other is not None)
    @rule(user=FEW, which=WHICH, reaction=REACTIONS, drained=st.booleans())
    def react_in_another_space(
        self, user: int, which: int, reaction: str, *, drained: bool
    ) -> None:
        """Its ids, shards and leases are the same numbers. The deletions here are not its own."""
        assert self.other is not None
        user, post = self.first + user, self.posts[which]
        self.other.reactions.react(user, post, reaction)
        self.others[post, user] = reaction
        if drained:
            self.other.drain()
        assert self.other.reactions.reaction_of(user, post) == reaction

    def _check_other(self, other: Engine) -> None:
        other.drain()
        codes = other.settings.reaction_types
        found = other.queries.reactions(self.posts)
        for post in self.posts:
            rows = {user: codes[name] for (p, user), name in self.others.items() if p == post}
            assert found[post] == rows
        assert (
            Verifier(other.client, other.database, other.settings).verify(post_ids=self.posts).holds
        )

    # -- evictions and loads ---------------------------------------------------------------------

    @rule(which=WHICH)
    def evict_summary(self, which: int) -> None:
        self.engine.client.delete(self.keys.post_summary(self.posts[which]))

    @rule(data=st.data())
    def evict(self, data: st.DataObject) -> None:
        """Redis may evict any key with a TTL, at any moment."""
        cached = [key for key in self._keys() if self.engine.client.pttl(key) >= 0]
        if cached:
            self.engine.client.delete(data.draw(st.sampled_from(sorted(cached))))

    def _keys(self) -> Iterator[bytes]:
        for post in self.posts:
            yield from self.engine.client.scan_iter(f"*:*:{post}:*", count=100_000)
        for user in range(1, 7):
            yield from self.engine.client.scan_iter(f"user:*:{self.first + user}:*", count=100_000)

    @rule(which=WHICH)
    def load(self, which: int) -> None:
        self.engine.loader.load([self.posts[which]])

    @rule(which=WHICH)
    def begin_load(self, which: int) -> None:
        post, token = self.posts[which], f"token{len(self.loads)}"
        if self.engine.cache_install.fence(post, token):
            queries = self.engine.queries
            self.loads.append(
                Load(
                    post,
                    token,
                    queries.reactions([post])[post],
                    queries.counts([post])[post],
                    queries.newest(post, [1, 2], limit=SAMPLE + 2),
                    queries.ever(post, 100),
                )
            )

    @precondition(lambda self: self.loads)
    @rule(data=st.data(), what=st.sampled_from(["hash", "sample", "counts"]))
    def end_load(self, data: st.DataObject, what: str) -> None:
        """Install late, after any other step: the cache installs or refuses, and stays right."""
        found = data.draw(st.sampled_from(self.loads))
        cache, post, token = self.engine.cache_install, found.post, found.token
        if what == "hash":
            cache.install_reactions(post, token, found.rows)
        elif what == "counts":
            cache.install_counts(post, token, found.counts)
        elif len(found.newest) >= SAMPLE:
            newest = [(row.user_id, row.reaction) for row in found.newest]
            total = sum(found.counts.values())
            cache.install_sample(post, token, total=total, newest=newest, ever=found.ever)

    # -- reads -----------------------------------------------------------------------------------

    @rule(user=USERS, which=WHICH)
    def reaction_of(self, user: int, which: int) -> None:
        """At every step, users read their own writes."""
        user, post = self.first + user, self.posts[which]
        assert self.engine.reactions.reaction_of(user, post) == self.model.get((post, user))

    @rule(user=USERS)
    def summaries(self, user: int) -> None:
        """An answer agrees with itself: its counts contain the user's own reaction."""
        user += self.first
        for summary in self.engine.reactions.summaries(self.posts, user):
            self._check_summary(summary)
            assert summary.reaction == self.model.get((summary.post_id, user))
            if summary.reaction is not None:
                assert summary.counts[summary.reaction] >= 1
                assert summary.total >= 1

    @rule(which=WHICH)
    def summaries_of_nobody(self, which: int) -> None:
        found = self.engine.reactions.summaries(self.posts)
        for summary in found:
            self._check_summary(summary)
            assert summary.reaction is None
        assert self.engine.reactions.counts(self.posts[which]) == found[which].counts

    def _check_summary(self, summary: Summary) -> None:
        assert summary.total == sum(summary.counts.values())
        assert all(count >= 0 for count in summary.counts.values())
        assert (summary.tier is Tier.DELETED) == (summary.post_id in self.deleted)

    @rule(which=WHICH)
    def lists(self, which: int) -> None:
        """Lists are newest first, and include reactions that are not durable yet."""
        post = self.posts[which]
        newest = self._newest(post)
        client = self.engine.reactions
        assert [(r.user_id, r.reaction) for r in client.recent(post, SAMPLE)] == newest[:SAMPLE]
        seen, cursor = [], None
        while True:
            page = client.reactors(post, limit=2, cursor=cursor)
            seen += [(r.user_id, r.reaction) for r in page.items]
            cursor = page.cursor
            if cursor is None:
                break
        assert seen == newest

    @rule(user=USERS)
    def begin_user_load(self, user: int) -> None:
        user += self.first
        token = f"token{len(self.user_loads)}"
        run_many(self.engine.client, [self.users.fence_command(user, token)])
        # A reader asks the database only about posts that the outbox has no change for.
        unknown = [
            post
            for post, s in zip(
                self.posts, self.engine.post_snapshots.snapshots(self.posts), strict=True
            )
            if user not in s.pending and user not in s.claimed
        ]
        _, found, whole = self.engine.queries.summaries(
            [], user, unknown, max_others=MAX_WHOLE_USER
        )
        self.user_loads.append(UserLoad(user, token, found, whole))

    @precondition(lambda self: self.user_loads)
    @rule(data=st.data())
    def end_user_load(self, data: st.DataObject) -> None:
        load = data.draw(st.sampled_from(self.user_loads))
        if load.found:
            self.users.install_call(load.user, load.token, load.found, whole=load.whole).run(
                self.engine.client
            )

    # -- erasures --------------------------------------------------------------------------------

    @rule(which=WHICH, chance=st.integers(0, 3))
    def delete_post(self, which: int, chance: int) -> None:
        if chance:  # seldom, because few rules do anything with a deleted post
            return
        post = self.posts[which]
        self.engine.reactions.delete_post(post)
        self.deleted.add(post)
        self.model = {key: name for key, name in self.model.items() if key[0] != post}
        self.ever = {key for key in self.ever if key[0] != post}

    @rule()
    def erase(self) -> None:
        self.engine.eraser.erase(0.0)

    @rule(user=FEW)
    def forget_user(self, user: int) -> None:
        """Forget; drains that stalled before may come late, and the user may react again."""
        user += self.first
        self.engine.reactions.forget_user(user)
        while user in self.engine.erasure_requests.unfinished()[1]:
            self.engine.eraser.erase()
            self._expire_leases()
            self.engine.drain()
        for post in self.posts:
            self.model.pop((post, user), None)
            self.ever.discard((post, user))

    # -- duties ----------------------------------------------------------------------------------

    @rule()
    def reconcile(self) -> None:
        """At every step, the check finds only gaps, and repairing them is safe."""
        engine = self.engine
        checker = PostChecker(engine.client, engine.database, engine.settings)
        found = checker.check(self.posts).differences
        assert [difference for difference in found if difference.kind not in GAPS] == []
        checker.repair(found)

    # -- invariants and the end ------------------------------------------------------------------

    def _newest(self, post: int) -> list[tuple[int, str]]:
        found = [(user, name) for (p, user), name in self.model.items() if p == post]
        return sorted(found, key=lambda item: -self.versions[post, item[0]])

    @invariant()
    def caches_are_right_or_absent(self) -> None:
        codes = self.engine.settings.reaction_types
        stored = self.engine.queries.counts(self.posts)
        for post, snapshot in zip(
            self.posts, self.engine.post_snapshots.snapshots(self.posts), strict=True
        ):
            if snapshot.counts and not snapshot.claimed:
                settled = {
                    code: stored[post].get(code, 0) + snapshot.delta.get(code, 0)
                    for code in codes.values()
                }
                assert settled == {c: snapshot.counts.get(c, 0) for c in settled}, post
            newest = [(user, codes[name]) for user, name in self._newest(post)]
            if snapshot.buckets > 0:
                self._check_hash(snapshot, dict(newest))
            elif snapshot.sampled:
                assert [(u, snapshot.reactions[u]) for u in snapshot.recent] == newest[
                    : len(snapshot.recent)
                ]
                assert len(snapshot.reactions) == len(snapshot.recent) <= SAMPLE
                if snapshot.total is not None and snapshot.counts:
                    assert snapshot.total == sum(snapshot.counts.values())
            if (uniques := self.engine.cache.uniques(post)) is not None:
                assert len([1 for p, _ in self.ever if p == post]) <= uniques
                assert uniques <= len([1 for p, _ in self.touched if p == post])
            if post in self.deleted:
                assert not snapshot.counts
                assert not snapshot.pending
            if snapshot.summary is not None:
                self._check_ready(post, snapshot, snapshot.summary)

    def _check_ready(self, post: int, snapshot: Snapshot, summary: bytes) -> None:
        """The changes lead to the cached counts, and list everyone in the outbox."""
        base, _, changes = summary.partition(b";")
        tier, counts = parse_base(base)
        counts, listed = fold_changes(counts, changes) if changes else (counts, {})
        assert (tier == DELETED) == (post in self.deleted)
        if snapshot.counts:
            ready, cached = (
                {code: number for code, number in each.items() if code and number}
                for each in (counts, snapshot.counts)
            )
            assert ready == cached
        if tier != DELETED:
            assert listed.items() >= {**snapshot.claimed, **snapshot.pending}.items()

    def _check_hash(self, snapshot: Snapshot, rows: dict[int, int]) -> None:
        for number, entries in enumerate(snapshot.entries):
            if entries is not None:
                assert entries == {
                    user: code
                    for user, code in rows.items()
                    if buckets.bucket_of(user, snapshot.buckets) == number
                }

    def teardown(self) -> None:
        """Drain and erase everything; then the stores must equal the model."""
        engine = self.engine
        self._expire_leases()
        engine.drain()
        while any(engine.erasure_requests.unfinished()):
            engine.eraser.erase()
            engine.drain()
        codes = engine.settings.reaction_types
        stored = read_stored(engine.database, self.posts, 100)
        for post in self.posts:
            rows = {user: codes[n] for (p, user), n in self.model.items() if p == post}
            note(f"post {post}: {stored[post]}, the model has {rows}")
            assert stored[post].rows == rows
            tally = {code: list(rows.values()).count(code) for code in set(rows.values())}
            rows_of = stored[post].tally or {}
            assert {k: v for k, v in rows_of.items() if k} == tally
            assert {k: v for k, v in stored[post].counts.items() if v} == rows_of
            shown = engine.reactions.counts(post)
            assert {codes[name]: n for name, n in shown.items() if n} == tally
            for user in range(self.first + 1, self.first + 7):
                assert engine.reactions.reaction_of(user, post) == self.model.get((post, user))
        assert engine.outbox_state.pending() == 0
        verifier = Verifier(engine.client, engine.database, engine.settings)
        found = verifier.verify(post_ids=self.posts)
        assert found.holds, found
        if self.other is not None:
            self._check_other(self.other)


@pytest.fixture
def small(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Samples of three, a threshold of four, buckets of two: six users reach every state."""
    shrink(monkeypatch, SAMPLE, 2, 2)
    update = {"viral_threshold": THRESHOLD, "viral_hysteresis": 0.75}
    return make_engine(engine.settings.model_copy(update=update))


def test_the_system_agrees_with_the_model(small: Engine) -> None:
    _run(small, 80)


def test_the_system_agrees_when_small_batches_scan_posts(small: Engine) -> None:
    settings = small.settings.model_copy(update={"batch_rows": 2})
    small.persister = Persister(small.client, small.database, settings)
    _run(small, 40)


def test_the_system_agrees_when_posts_are_rising(small: Engine) -> None:
    """With a threshold of four, two quick reactions make a post rising."""
    early = make_engine(
        small.settings.model_copy(update={"viral_horizon_s": 3_600.0, "viral_watch": 0.25})
    )
    _run(early, 60)
    small.close()


def test_the_system_agrees_in_a_space_beside_another(small: Engine, own_database_url: str) -> None:
    """Comments have other codes for the same names, and other tiers than posts."""
    names = ",".join(f"{name}={code + 20}" for name, code in small.settings.reaction_types.items())
    with own_spaces(small.settings, own_database_url, comment={"reaction_types": names}) as made:
        _run(made["comment"], 40, made["post"])
    small.close()


def _run(engine: Engine, count: int, other: Engine | None = None) -> None:
    System.engine, System.other = engine, other
    System.TestCase.settings = hypothesis(
        max_examples=examples(count),
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    System.TestCase().runTest()
    engine.close()
