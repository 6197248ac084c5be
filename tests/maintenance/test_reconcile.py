"""Damage of every kind is found and named by one look, and gone after one repair."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import event, text

from reactions.core.constants import MAX_ID, shard_of
from reactions.core.model import PostTier
from reactions.maintenance.audit import CountAudit
from reactions.maintenance.checker import SLICE, PostChecker
from reactions.maintenance.compare import Difference, Kind
from reactions.maintenance.reconcile import Reconcile
from reactions.maintenance.refresh import RefreshSamples
from reactions.postgres.duty_runs import DutyRuns
from reactions.postgres.row_counts import RowCounts
from reactions.redis import keys
from reactions.redis.buckets import bucket_of
from tests.support.engine import Engine, make_engine

REGULAR, VIRAL, COLD, DELETED = 1042, 1142, 1043, 1044
USERS = range(1, 13)


@pytest.fixture
def sound(engine: Engine) -> Iterator[Engine]:
    """A regular post with its hash, a viral one with its sample, a cold one, a deleted one."""
    small = make_engine(engine.settings.model_copy(update={"viral_threshold": 10}))
    client = small.reactions
    for post, users in ((REGULAR, 6), (VIRAL, 12), (COLD, 3), (DELETED, 3)):
        client.react_many((user, post, ("like", "love")[user % 2]) for user in range(1, users + 1))
    client.unreact(6, REGULAR)
    small.drain()
    assert small.loader.load([REGULAR, VIRAL]) == 2
    client.summaries([REGULAR, VIRAL, COLD], 1)
    client.delete_post(DELETED)
    while any(small.erasure_requests.unfinished()):
        small.eraser.erase()
    yield small
    small.close()


def reconciler(engine: Engine) -> PostChecker:
    return PostChecker(engine.client, engine.database, engine.settings)


DAMAGE: dict[str, tuple[Kind, int, Callable[[Engine], object]]] = {
    "a count too high": (
        Kind.COUNTS,
        REGULAR,
        lambda e: e.client.hincrby(keys.post_reaction_counts(REGULAR), "1", 5),
    ),
    "a count below zero": (
        Kind.COUNTS,
        VIRAL,
        lambda e: e.client.hset(keys.post_reaction_counts(VIRAL), "1", -3),
    ),
    "a type missing from the counts": (
        Kind.COUNTS,
        VIRAL,
        lambda e: e.client.hdel(keys.post_reaction_counts(VIRAL), "1"),
    ),
    "a type too many in the counts": (
        Kind.COUNTS,
        REGULAR,
        lambda e: e.client.hset(keys.post_reaction_counts(REGULAR), "9", 4),
    ),
    "counts of a cold post": (
        Kind.COUNTS,
        COLD,
        lambda e: e.client.hset(keys.post_reaction_counts(COLD), "1", 40),
    ),
    "a user missing from a hash": (
        Kind.HASH,
        REGULAR,
        lambda e: e.client.hdel(keys.post_reactions(REGULAR), "1"),
    ),
    "a user too many in a hash": (
        Kind.HASH,
        REGULAR,
        lambda e: e.client.hset(keys.post_reactions(REGULAR), "77", 1),
    ),
    "a wrong type in a hash": (
        Kind.HASH,
        REGULAR,
        lambda e: e.client.hset(keys.post_reactions(REGULAR), "1", 5),
    ),
    "a sample out of order": (
        Kind.SAMPLE,
        VIRAL,
        lambda e: e.client.lmove(keys.post_recent(VIRAL), keys.post_recent(VIRAL), "RIGHT", "LEFT"),
    ),
    "a sample with a wrong type": (
        Kind.SAMPLE,
        VIRAL,
        lambda e: e.client.hset(keys.post_reactions(VIRAL), "12", 5),
    ),
    "a type that changed in the sample": (
        Kind.SAMPLE,
        VIRAL,
        lambda e: e.client.hset(_home(e, 12), "12", 5),
    ),
    "a user in the sample's hash only": (
        Kind.SAMPLE,
        VIRAL,
        lambda e: e.client.hset(keys.post_reactions(VIRAL), "77", 1),
    ),
    "a user twice in the sample": (
        Kind.SAMPLE,
        VIRAL,
        lambda e: e.client.rpush(keys.post_recent(VIRAL), "12"),
    ),
    "a short sample": (Kind.SHORT, VIRAL, lambda e: _shorten(e)),
    "a wrong total": (
        Kind.TOTAL,
        VIRAL,
        lambda e: e.client.incrby(keys.post_total_reactions(VIRAL), 3),
    ),
    "a total of a regular post": (
        Kind.TOTAL,
        REGULAR,
        lambda e: e.client.set(keys.post_total_reactions(REGULAR), 30_000, px=60_000),
    ),
    "a regular post flagged as viral": (
        Kind.FLAG,
        REGULAR,
        lambda e: e.client.set(keys.post_viral(REGULAR), 1, px=60_000),
    ),
    "a viral post without its flag": (
        Kind.UNFLAGGED,
        VIRAL,
        lambda e: e.client.delete(keys.post_viral(VIRAL)),
    ),
    "a user remembered otherwise": (
        Kind.USER,
        VIRAL,
        lambda e: e.client.hset(keys.user_reactions(3), str(VIRAL), 6),
    ),
    "a removal not remembered": (
        Kind.USER,
        REGULAR,
        lambda e: e.client.hset(keys.user_reactions(2), str(REGULAR), 0),
    ),
    "a cache key without a TTL": (
        Kind.IMMORTAL,
        REGULAR,
        lambda e: e.client.persist(keys.post_reactions(REGULAR)),
    ),
    "a pending change that no drain would find": (
        Kind.UNLISTED,
        COLD,
        lambda e: (
            e.reactions.react(5, COLD, "like"),
            e.client.delete(keys.outbox_dirty(shard_of(COLD))),
        ),
    ),
    "a deleted post without its mark": (
        Kind.UNMARKED,
        DELETED,
        lambda e: e.client.delete(keys.outbox_deleted(shard_of(DELETED))),
    ),
    "a count in the database": (
        Kind.LEDGER,
        VIRAL,
        lambda e: _sql(e, "UPDATE reaction_counts SET count = count + 7 WHERE post_id = 1142"),
    ),
    "a type missing from the counts in the database": (
        Kind.LEDGER,
        REGULAR,
        lambda e: _sql(e, "DELETE FROM reaction_counts WHERE post_id = 1042"),
    ),
    "a row lost from the database": (
        Kind.LEDGER,
        COLD,
        lambda e: _sql(e, "DELETE FROM reactions WHERE post_id = 1043 AND user_id = 1"),
    ),
}


def _home(engine: Engine, user: int) -> str:
    (snapshot,) = engine.post_snapshots.snapshots([VIRAL])
    return keys.bucket(keys.post_reactions(VIRAL), bucket_of(user, len(snapshot.entries)))


def _sql(engine: Engine, statement: str, **values: int) -> None:
    with engine.database.engine.begin() as connection:
        connection.execute(text(statement), values)


def _shorten(engine: Engine) -> None:
    oldest = engine.client.rpop(keys.post_recent(VIRAL))
    engine.client.hdel(_home(engine, int(oldest)), str(int(oldest)))  # type: ignore[arg-type]


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found_named_and_repaired(sound: Engine, damage: str) -> None:
    kind, post, do = DAMAGE[damage]
    posts = [REGULAR, VIRAL, COLD, DELETED]
    assert reconciler(sound).check(posts, count_rows=True).differences == []
    do(sound)
    found = reconciler(sound).check(posts, count_rows=True).differences
    assert (kind, post) in {(d.kind, d.post_id) for d in found}
    assert {d.post_id for d in found} == {post}
    reconciler(sound).repair(found)
    assert reconciler(sound).check(posts, count_rows=True).differences == []
    sound.drain()
    assert sound.verify().holds


def test_a_clean_system_shows_none_while_it_works(sound: Engine) -> None:
    """What is pending, or half way through a drain, is no difference."""
    client, posts = sound.reactions, [REGULAR, VIRAL, COLD]
    for user in range(1, 30):
        client.react_many((user, post, ("wow", None)[user % 3 == 0]) for post in posts)
        assert reconciler(sound).check(posts, count_rows=True).differences == []
    (claim, _other), failed = sound.outbox.claim({42: "", 43: ""})
    assert not failed
    checked = reconciler(sound).check(posts)
    assert checked.decided == {}  # it gives up rather than guess
    assert claim.posts
    assert checked.differences == []


def test_a_look_at_a_large_post_reads_no_more_than_its_newest(sound: Engine) -> None:
    """Also of millions of rows; the counts are an audit's business."""
    for first in range(1, 200_000, 20_000):  # each within the timeout of a statement
        _sql(
            sound,
            "INSERT INTO reactions SELECT 2042, i, 1000 + i, 1 + i % 2"
            " FROM generate_series(:first, :first + 19999) AS i",
            first=first,
        )
    _sql(sound, "INSERT INTO reaction_counts VALUES (2042, 1, 100000), (2042, 2, 100000)")
    _sql(sound, "ANALYZE reactions")
    sound.loader.load([2042])
    statements: list[tuple[str, object]] = []

    def note(_c: object, _cu: object, statement: str, parameters: object, *_: object) -> None:
        statements.append((statement, parameters))

    event.listen(sound.database.engine, "before_cursor_execute", note)
    assert reconciler(sound).check([2042]).differences == []
    event.remove(sound.database.engine, "before_cursor_execute", note)
    assert len(statements) <= 5
    with sound.database.engine.connect() as connection:
        for statement, parameters in statements:
            plan = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)  # type: ignore[arg-type]
            lines = [line for (line,) in plan]
            assert not [line for line in lines if "Seq Scan on reactions" in line], lines


def test_an_audit_over_many_slices_is_exact_under_live_drains(sound: Engine) -> None:
    audits, client = RowCounts(sound.database), sound.reactions
    client.react_many((user, 5042, "like") for user in range(1, 400))
    sound.drain()
    _sql(sound, "UPDATE reaction_counts SET count = count + 3 WHERE post_id = 5042")
    slices = 0
    while not (found := audits.slice(5042, 50, repair=True)).finished:
        slices += 1
        client.react_many(  # before and behind the position, new, changed and removed
            (user, 5042, ("love", None, "wow")[(user + slices) % 3]) for user in range(1, 600, 7)
        )
        sound.drain()
    assert slices >= 7
    assert {rows - counted for rows, counted in found.differences.values()} == {-3}
    sound.cache_install.drop(5042)  # as the duty does
    assert sound.verify().holds
    assert audits.unfinished() == []
    assert SLICE > 50


# -- the duties ------------------------------------------------------------------------------------


@pytest.fixture
def audit(sound: Engine) -> CountAudit:
    return CountAudit(sound.client, sound.database, sound.settings)


@pytest.fixture
def reconcile(sound: Engine) -> Reconcile:
    return Reconcile(sound.client, sound.database, sound.settings)


@pytest.fixture
def refresh(sound: Engine) -> RefreshSamples:
    return RefreshSamples(sound.client, sound.database, sound.settings)


def test_touched_posts_of_a_tier_are_found_repaired_and_recorded(
    sound: Engine, reconcile: Reconcile
) -> None:
    """From what drains noted, each tier on its own round; then there is nothing to do."""
    DAMAGE["a count too high"][2](sound)
    DAMAGE["a sample out of order"][2](sound)
    run = reconcile.run(PostTier.VIRAL)
    assert run is not None
    assert (run.looked_at, dict(run.found), run.repaired) == (1, {Kind.SAMPLE: 1}, 1)
    run = reconcile.run(PostTier.HOT)  # six reactions in a batch
    assert run is not None
    assert (dict(run.found), run.repaired) == ({Kind.COUNTS: 1}, 1)
    assert sound.verify().holds
    last = DutyRuns(sound.database).last()
    assert {"reconcile-viral", "reconcile-hot"} <= last.keys()
    assert (last["reconcile-viral"].found, last["reconcile-viral"].repaired) == (1, 1)
    assert "post 1142: the sample is not the newest" in last["reconcile-viral"].detail
    assert last["reconcile-viral"].ended_at is not None


def to_check(engine: Engine) -> set[int]:
    """Whatever their tier."""
    now = int(engine.clock.now_us())
    return {post.post_id for post in engine.posts.to_check(PostTier, now, MAX_ID, 10)}


def test_a_post_is_looked_at_again_only_when_it_was_touched(
    sound: Engine, reconcile: Reconcile
) -> None:
    _sql(sound, "UPDATE posts SET touched = touched - 3600000000")  # an hour ago
    assert to_check(sound) == {REGULAR, VIRAL, COLD, DELETED}
    reconcile.run(PostTier.VIRAL)
    assert VIRAL not in to_check(sound)
    sound.reactions.react(1, VIRAL, "wow")
    sound.drain()
    assert VIRAL in to_check(sound)


def test_a_reconciliation_goes_on_where_time_was_up(
    sound: Engine, reconcile: Reconcile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reactions.maintenance.reconcile.CHUNK", 1)
    _sql(sound, "UPDATE posts SET tier = 0, touched = touched - post_id * 60000000")
    looked_at: list[int] = []
    while not looked_at or DutyRuns(sound.database).position("reconcile-regular"):
        run = reconcile.run(PostTier.REGULAR, 0.0)
        assert run is not None
        looked_at.append(run.looked_at)
    assert looked_at == [1, 1, 1, 1, 0]  # the deleted one too


def test_a_tier_that_a_drain_could_not_note_is_noted(sound: Engine, reconcile: Reconcile) -> None:
    _sql(sound, "UPDATE posts SET tier = 0, checked = 0")
    reconcile.run(PostTier.REGULAR)
    assert tiers(sound) == {VIRAL: 2, REGULAR: 0, COLD: 0, DELETED: 0}
    _sql(sound, "UPDATE posts SET tier = 2, checked = 0")
    reconcile.run(PostTier.VIRAL)
    assert tiers(sound) == {VIRAL: 2, REGULAR: 0, COLD: 0, DELETED: 0}


def test_what_was_hot_is_regular_when_it_has_been_quiet(
    sound: Engine, reconcile: Reconcile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reactions.maintenance.reconcile.MAX_COOLED", 1)
    _sql(sound, "UPDATE posts SET tier = 1 WHERE post_id <> 1142")
    reconcile.run(PostTier.HOT)
    assert set(tiers(sound).values()) == {1, 2}
    _sql(sound, "UPDATE posts SET touched = touched - 660000000")
    reconcile.run(PostTier.HOT)
    assert set(tiers(sound).values()) == {0, 2}


def tiers(engine: Engine) -> dict[int, int]:
    with engine.database.engine.connect() as connection:
        return dict(connection.execute(text("SELECT post_id, tier FROM posts")).all())


@pytest.mark.parametrize(
    ("most", "portions"),
    [
        (20, [[REGULAR, VIRAL, COLD, DELETED]]),
        (9, [[REGULAR, VIRAL], [COLD, DELETED]]),
        (5, [[REGULAR], [VIRAL], [COLD, DELETED]]),
        (1, [[REGULAR], [VIRAL], [COLD], [DELETED]]),
    ],
)
def test_posts_are_compared_in_portions_of_bounded_rows(
    sound: Engine, monkeypatch: pytest.MonkeyPatch, most: int, portions: list[list[int]]
) -> None:
    """5, 3 and 0 rows of regular posts, and the newest 4 of a viral one."""
    monkeypatch.setattr("reactions.maintenance.checker.SAMPLE_SIZE", 2)
    monkeypatch.setattr("reactions.maintenance.checker.MAX_COMPARED_ROWS", most)
    assert list(reconciler(sound).portions([REGULAR, VIRAL, COLD, DELETED])) == portions


def test_verify_counts_a_large_post_in_slices(
    sound: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reactions.maintenance.checker.SLICE", 4)
    assert sound.verify().found == {}
    DAMAGE["a count in the database"][2](sound)
    found = sound.verify()
    assert found.found[Kind.LEDGER] == 2
    assert "6 rows of type 1, the counts table has 13" in str(found.examples)
    reconciler(sound).repair([Difference(Kind.LEDGER, VIRAL, "")])
    assert sound.verify().found == {}


def test_a_duty_is_done_by_one_worker_at_a_time(
    sound: Engine, audit: CountAudit, reconcile: Reconcile
) -> None:
    with DutyRuns(sound.database).run("audit") as run:
        assert run is not None
        assert audit.run() is None
        assert reconcile.run(PostTier.VIRAL) is not None
    assert audit.run() is not None


def test_a_run_that_failed_says_so_and_is_no_success(sound: Engine) -> None:
    duties = DutyRuns(sound.database)
    with pytest.raises(RuntimeError), duties.run("audit"):
        raise RuntimeError("no more")
    assert "audit" not in duties.last()
    with sound.database.engine.connect() as connection:
        assert connection.scalar(text("SELECT error FROM runs")) == "RuntimeError: no more"


def test_an_audit_goes_all_the_way_round_in_slices(
    sound: Engine, audit: CountAudit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where time is up, the next run goes on; large posts are walked in pieces."""
    monkeypatch.setattr("reactions.maintenance.audit.SLICE", 4)
    _sql(sound, "UPDATE reaction_counts SET count = count + 2 WHERE post_id IN (1042, 1142)")
    found = 0
    for _ in range(100):
        run = audit.run(0.0)
        assert run is not None
        found += run.found[Kind.LEDGER]
        if DutyRuns(sound.database).position("audit") == 0 and found:
            break
        sound.reactions.react(50 + found, VIRAL, "love")
        sound.drain()
    run = audit.run()
    assert run is not None
    assert run.found.total() == 0
    assert sound.verify().holds


def test_a_look_leaves_no_load_announced(sound: Engine) -> None:
    """Or the loads that reads ask for would give way to it until it expires."""
    reconciler(sound).check([REGULAR, VIRAL, COLD], count_rows=True)
    assert sound.client.keys("post:*:loading") == []
    assert sound.cache_install.fence(COLD, "theirs")
    reconciler(sound).check([COLD], yields=True)
    assert sound.client.get(keys.post_loading(COLD)) == b"theirs"


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        ("a sample out of order", Kind.SAMPLE),
        ("a short sample", Kind.SHORT),
        ("a viral post without its flag", Kind.UNFLAGGED),
    ],
)
def test_a_refresh_loads_what_is_not_the_newest(
    sound: Engine, refresh: RefreshSamples, damage: str, kind: Kind
) -> None:
    """Of viral posts that nobody touched since they were last compared."""
    run = refresh.run()
    assert run is not None
    assert (run.looked_at, dict(run.found)) == (1, {})
    DAMAGE[damage][2](sound)
    run = refresh.run()
    assert run is not None
    assert (dict(run.found), run.repaired) == ({kind: 1}, 1)
    assert sound.post_snapshots.snapshots([VIRAL])[0].sampled
    assert sound.verify().found == {}


@pytest.mark.parametrize("lost", ["reactions", "recent", "everything"])
def test_a_refresh_loads_a_sample_that_is_lost(
    sound: Engine, refresh: RefreshSamples, lost: str
) -> None:
    if lost == "everything":
        sound.client.delete(*sound.client.keys(f"post:*:{VIRAL}:*"))
    else:
        sound.client.delete(f"post:{{42}}:{VIRAL}:{lost}")
    run = refresh.run()
    assert run is not None
    assert dict(run.found) == {Kind.MISSING: 1}
    assert sound.post_snapshots.snapshots([VIRAL])[0].sampled
    assert sound.verify().found == {}


def test_a_refresh_goes_on_where_it_was(
    sound: Engine, refresh: RefreshSamples, monkeypatch: pytest.MonkeyPatch
) -> None:
    for post in range(3, 8):
        sound.reactions.react_many((user, post, "like") for user in range(1, 12))
    sound.drain()
    monkeypatch.setattr("reactions.maintenance.refresh.CHUNK", 2)
    positions = []
    for _ in range(4):
        run = refresh.run(0.0)  # each does a chunk, whatever the time
        assert run is not None
        positions.append((run.looked_at, DutyRuns(sound.database).position("refresh")))
    assert positions == [(2, 4), (2, 6), (2, VIRAL), (0, 0)]


def test_a_read_under_way_does_not_undo_a_repair(sound: Engine) -> None:
    """It read before the repair, and installs after it."""
    DAMAGE["a count in the database"][2](sound)
    sound.cache_install.drop(VIRAL)
    assert sound.cache_install.fence(VIRAL, "slow")
    stale = sound.queries.counts([VIRAL])[VIRAL]
    found = reconciler(sound).check([VIRAL], count_rows=True, yields=True)
    assert found.decided == {}
    reconciler(sound).repair([Difference(Kind.LEDGER, VIRAL, "")])
    assert not sound.cache_install.install_counts(VIRAL, "slow", stale)[0]
    assert sound.verify().found == {}
    assert sound.post_snapshots.snapshots([VIRAL])[0].sampled


def test_an_audit_never_counts_a_large_post_at_once(
    sound: Engine, audit: CountAudit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the counts table, which lost its counts, says that it is a small one."""
    monkeypatch.setattr("reactions.maintenance.audit.SLICE", 6)
    _sql(sound, "DELETE FROM reaction_counts WHERE post_id = 1142")
    assert RowCounts(sound.database).suspects([REGULAR, VIRAL, COLD], 6) == [VIRAL]
    run = audit.run()
    assert run is not None
    assert run.found[Kind.LEDGER] == 2
    assert sound.queries.counts([VIRAL]) == {VIRAL: {1: 6, 2: 6}}
    assert sound.verify().found == {}
