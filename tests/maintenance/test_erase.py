"""Deleted posts and forgotten users on real stores: all of theirs goes, and nothing else."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text

from reactions.api.client import Reactions
from reactions.core.constants import shard_of
from reactions.core.errors import PostDeleted
from reactions.core.model import Page, Status, Tier
from reactions.drain.batch import Batch, Drained
from reactions.drain.persister import Persister
from reactions.maintenance import erase
from reactions.maintenance.erase import Eraser
from reactions.redis import keys
from reactions.redis.claims import Claim
from reactions.redis.pipeline import run_many
from tests.support.engine import Engine, make_engine
from tests.support.reading import shrink
from tests.support.waiting import wait_until

POST, OTHER = 1042, 1142
SHARD = 42
USER, FELLOW = 7, 8
PATIENCE_S = 30.0
BATCH = 7


@pytest.fixture
def small(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Batches and pages of seven; viral from fifteen on, samples of five, buckets of four."""
    shrink(monkeypatch, 5, 4, 8)
    monkeypatch.setattr(erase, "PAGE", BATCH)
    update = {"viral_threshold": 15, "batch_rows": BATCH}
    made = make_engine(engine.settings.model_copy(update=update))
    yield made
    made.close()


def react(
    engine: Engine, post_id: int, users: Iterable[int], reaction: str | None = "like"
) -> None:
    engine.reactions.react_many((user, post_id, reaction) for user in users)


def rows_of(engine: Engine, where: str, **values: int) -> list[tuple[int, int, int]]:
    """(post, user, code), tombstones included."""
    statement = f"SELECT post_id, user_id, reaction FROM reactions WHERE {where} ORDER BY 1, 2"  # noqa: S608
    with engine.database.engine.connect() as connection:
        return [(p, u, c) for p, u, c in connection.execute(text(statement), values)]


def check_counts(engine: Engine) -> None:
    """The counts table is the rows, counted; also those who took their reaction away."""
    with engine.database.engine.connect() as connection:
        wrong = connection.execute(
            text(
                "SELECT post_id, reaction, r.rows, c.count FROM "
                "(SELECT post_id, reaction, count(*) AS rows FROM reactions GROUP BY 1, 2) AS r "
                "FULL JOIN reaction_counts AS c USING (post_id, reaction) "
                "WHERE coalesce(r.rows, 0) <> coalesce(c.count, 0)"
            )
        ).all()
    assert wrong == []


def keys_of(engine: Engine, pattern: str) -> set[str]:
    return {key.decode() for key in engine.client.scan_iter(pattern, count=10_000)}


def finish(engine: Engine) -> None:
    """Erase and drain, as the tasks do, until nothing is left to erase."""
    for _ in range(200):
        if not any(engine.erasure_requests.unfinished()):
            engine.drain()
            return
        engine.eraser.erase()
        engine.drain()
    pytest.fail("the erasure does not come to its end")


def lapse(engine: Engine) -> None:
    """Whoever drains, died or stalled."""
    for shard in range(100):
        engine.client.delete(keys.outbox_lease(shard))


def check_post_is_gone(engine: Engine, post_id: int = POST) -> None:
    assert rows_of(engine, "post_id = :post", post=post_id) == []
    with engine.database.engine.connect() as connection:
        counts = text("SELECT count(*) FROM reaction_counts WHERE post_id = :post")
        assert connection.execute(counts, {"post": post_id}).scalar_one() == 0
    assert keys_of(engine, f"post:*:{post_id}:*") == set()
    shard = shard_of(post_id)
    assert engine.client.sismember(keys.outbox_deleted(shard), str(post_id))
    assert engine.erasure_requests.unfinished() == ([], {})
    assert engine.outbox_state.pending() == 0
    check_counts(engine)


# -- a deleted post is refused and unseen ----------------------------------------------------------


def test_a_deleted_post_refuses_reactions(engine: Engine) -> None:
    client = engine.reactions
    client.react(USER, POST, "like")
    client.delete_post(POST)
    calls: list[Callable[[], object]] = [
        lambda: client.react(USER, POST, "love"),
        lambda: client.react(FELLOW, POST, "love"),
        lambda: client.unreact(USER, POST),
        lambda: client.react_many([(USER, POST, "love")]),
        lambda: client.react_many([(USER, POST, None), (FELLOW, POST, "wow")]),
    ]
    for call in calls:
        with pytest.raises(PostDeleted, match="1042") as error:
            call()
        assert error.value.post_ids == (POST,)
    assert engine.outbox_state.pending() == 0
    assert client.react(USER, OTHER, "like").status is Status.ACCEPTED


def test_of_a_batch_only_the_deleted_posts_are_refused(engine: Engine) -> None:
    client = engine.reactions
    for post in (POST, 5):
        client.delete_post(post)
    items = [
        (1, OTHER, "like"),
        (1, POST, "like"),
        (2, OTHER, "love"),
        (1, 5, "like"),
        (1, OTHER, None),
        (2, POST, None),
    ]
    with pytest.raises(PostDeleted) as error:
        client.react_many(items)
    assert error.value.post_ids == (POST, 5)
    found = [outcome and (outcome.status, outcome.reaction) for outcome in error.value.outcomes]
    assert found == [
        (Status.ACCEPTED, "like"),
        None,
        (Status.ACCEPTED, "love"),
        None,
        (Status.REMOVED, None),
        None,
    ]
    engine.drain()
    assert engine.queries.reactions([OTHER, POST, 5]) == {OTHER: {2: 2}, POST: {}, 5: {}}


@pytest.mark.parametrize("tier", ["pending", "cold", "regular", "viral"])
def test_reads_see_nothing_of_a_deleted_post(small: Engine, tier: str) -> None:
    """From the deletion on, and also once it is done."""
    client = small.reactions
    react(small, POST, range(1, 21 if tier == "viral" else 9))
    if tier != "pending":
        small.drain()
    if tier == "regular":
        assert small.loader.load([POST]) == 1
    assert client.summaries([POST], USER)[0].reaction == "like"
    client.delete_post(POST)
    check_unseen(small)
    check_unseen(small)
    finish(small)
    check_unseen(small)


def check_unseen(engine: Engine) -> None:
    client = engine.reactions
    none = dict.fromkeys(engine.settings.reaction_types, 0)
    assert client.counts(POST) == none
    for user in (None, USER, 99):
        (found,) = client.summaries([POST], user)
        assert (found.counts, found.total, found.reaction) == (none, 0, None)
        assert found.tier is Tier.DELETED
    assert client.reaction_of(USER, POST) is None
    assert client.reactors(POST) == Page((), None)
    assert client.reactors(POST, "like") == Page((), None)
    assert client.recent(POST) == []


@pytest.mark.parametrize("users", [8, 20])
def test_nobody_ever_reacted_on_a_deleted_post(small: Engine, users: int) -> None:
    """From the deletion on, not from the day the rows are gone."""
    react(small, POST, range(1, users + 1))
    small.drain()
    assert small.reactions.uniques(POST) == users
    small.reactions.delete_post(POST)
    assert small.reactions.uniques(POST) == 0
    finish(small)
    assert small.reactions.uniques(POST) == 0


def test_history_does_not_show_a_deleted_post(small: Engine) -> None:
    """From the deletion on, not from the next step of the erasure on."""
    small.reactions.react_many((USER, post, "like") for post in (POST, OTHER))
    small.drain()
    small.reactions.delete_post(POST)
    assert [r.post_id for r in small.reactions.history(USER).items] == [OTHER]


def test_a_page_of_a_post_that_was_deleted_meanwhile_is_empty(small: Engine) -> None:
    react(small, POST, range(1, 10))
    page = small.reactions.reactors(POST, limit=3)
    small.reactions.delete_post(POST)
    assert small.reactions.reactors(POST, limit=3, cursor=page.cursor) == Page((), None)


# -- a deleted post's rows -------------------------------------------------------------------------


def test_rows_go_in_batches_and_counts_with_them(small: Engine) -> None:
    react(small, POST, range(1, 31))
    react(small, POST, range(1, 6), "love")
    react(small, OTHER, range(1, 6))
    small.drain()
    react(small, POST, range(3, 9), None)
    small.drain()
    small.reactions.delete_post(POST)
    erasures = small.eraser._erasures
    step = erasures.erase_post
    left: list[int] = []

    def stepping(post_id: int, limit: int) -> list[int]:
        users = step(post_id, limit)
        assert len(users) <= BATCH
        check_counts(small)
        left.append(len(rows_of(small, "post_id = :post", post=post_id)))
        return users

    erasures.erase_post = stepping  # type: ignore[method-assign]
    done = small.eraser.erase()
    assert left == [23, 16, 9, 2, 0, 0]
    assert (done.rows, done.posts) == (30, 1)
    check_post_is_gone(small)
    assert len(rows_of(small, "post_id = :post", post=OTHER)) == 5


def test_with_hardly_any_time_each_call_does_a_batch(small: Engine) -> None:
    react(small, POST, range(1, 31))
    small.drain()
    small.reactions.delete_post(POST)
    left = []
    while small.erasure_requests.unfinished()[0]:
        small.eraser.erase(0.0)
        check_counts(small)
        left.append(len(rows_of(small, "post_id = :post", post=POST)))
    assert left == [23, 16, 9, 2, 0, 0]
    check_post_is_gone(small)


def test_users_forget_what_they_did_on_a_deleted_post(small: Engine) -> None:
    react(small, POST, range(1, 11))
    small.reactions.react_many((user, OTHER, "wow") for user in range(1, 11))
    small.drain()
    for user in range(1, 11):
        assert small.client.hget(keys.user_reactions(user), str(POST)) == b"1"
    small.reactions.delete_post(POST)
    finish(small)
    for user in range(1, 11):
        assert small.client.hgetall(keys.user_reactions(user)) == {b"1142": b"4"}


def test_a_post_that_was_never_there_can_be_deleted_and_more_than_once(small: Engine) -> None:
    for _ in range(3):
        small.reactions.delete_post(POST)
    finish(small)
    check_post_is_gone(small)
    small.reactions.delete_post(POST)
    assert small.erasure_requests.unfinished() == ([], {})
    with pytest.raises(PostDeleted):
        small.reactions.react(USER, POST, "like")


# -- deaths ----------------------------------------------------------------------------------------


class DiedError(Exception):
    """The process ended here."""


STEPS = {
    "_requests": ["unfinished", "confirm_erased", "advance_erasure"],
    "_outbox_state": ["quiet_before"],
    "_clock": ["now_us"],
    "_writes": ["record_many"],
    "_users": ["drop", "drop_post"],
    "_queries": ["history"],
    "_erasures": ["mark_deleted", "erase_post", "mark_forgotten", "erase_user"],
}


def mortal(engine: Engine, life: int, *, after: bool) -> Eraser:
    """An eraser that dies at its nth step: just before it, or just after it."""
    eraser = Eraser(engine.client, engine.database, engine.settings)
    steps = itertools.count()

    def wrap(method: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **options: Any) -> Any:
            if next(steps) == life:
                if after:
                    method(*args, **options)
                raise DiedError
            return method(*args, **options)

        return step

    for part, methods in STEPS.items():
        target = getattr(eraser, part)
        for name in methods:
            setattr(target, name, wrap(getattr(target, name)))
    return eraser


@pytest.mark.parametrize("after", [False, True])
def test_an_erasure_of_a_post_that_dies_at_any_step_goes_on(small: Engine, after: bool) -> None:
    deaths = 0
    for life in itertools.count():
        post = POST + 100 * life
        react(small, post, range(1, 18))
        small.drain()
        react(small, post, [20, 21])
        small.reactions.delete_post(post)
        died = False
        try:
            mortal(small, life, after=after).erase()
        except DiedError:
            died = True
        check_counts(small)
        with pytest.raises(PostDeleted):
            small.reactions.react(1, post, "like")
        assert small.reactions.counts(post)["like"] == 0
        finish(small)
        check_post_is_gone(small, post)
        if not died:
            break
        deaths += 1
    assert deaths >= 9  # erasures, mark, three batches with their users, the end


# -- drains that are under way ---------------------------------------------------------------------


class Play:
    """One drain and one deletion, step by step."""

    def __init__(self, engine: Engine, post_id: int = POST) -> None:
        self._engine = engine
        self._post_id = post_id
        self._claims: list[Claim] = []
        self._batch = Batch()

    def claim(self) -> None:
        self._claims, failed = self._engine.outbox.claim({SHARD: ""})
        assert not failed

    def record(self) -> None:
        self._batch = self._engine.persister.record(self._claims, Drained())

    def settle(self) -> None:
        self._engine.persister.settle(self._claims, self._batch, Drained())

    def delete(self) -> None:
        self._engine.reactions.delete_post(self._post_id)

    def erase(self) -> None:
        self._engine.eraser.erase()


ORDERS = sorted(
    order
    for order in set(itertools.permutations(["claim", "record", "settle", "delete", "erase"]))
    if order.index("claim") < order.index("record") < order.index("settle")
    and order.index("delete") < order.index("erase")
)


@pytest.mark.parametrize("large", [False, True])
def test_a_drain_under_way_brings_nothing_back(small: Engine, large: bool) -> None:
    """In any order of its steps and those of the deletion; its other posts are as they should."""
    assert len(ORDERS) == 10
    for number, order in enumerate(ORDERS):
        post = POST + 200 * number
        react(small, post, range(1, 6))
        react(small, OTHER, [2 * number + 1])
        small.drain()
        react(small, post, range(4, 20 if large else 9), "love")
        react(small, OTHER, [2 * number + 2])
        play = Play(small, post)
        for at, step in enumerate(order):
            getattr(play, step)()
            check_counts(small)
            if "delete" in order[: at + 1]:
                assert small.reactions.summaries([post], 5)[0].tier is Tier.DELETED, order
                assert small.reactions.reaction_of(5, post) is None, order
        finish(small)
        check_post_is_gone(small, post)
    assert small.reactions.counts(OTHER)["like"] == 20
    assert small.verify().holds


def test_a_drain_that_died_before_a_deletion_leaves_nothing(small: Engine) -> None:
    react(small, POST, range(1, 6))
    small.outbox.claim({SHARD: ""})
    lapse(small)
    small.reactions.delete_post(POST)
    finish(small)
    check_post_is_gone(small)


def test_a_stale_drain_brings_nothing_back_long_after(small: Engine) -> None:
    react(small, POST, range(1, 6))
    react(small, OTHER, range(1, 3))
    claims, _ = small.outbox.claim({SHARD: ""})
    lapse(small)
    small.drain()
    small.reactions.delete_post(POST)
    finish(small)
    late = Drained()
    small.persister.settle(claims, small.persister.record(claims, late), late)
    assert (late.changed, late.lost) == (0, 1)
    check_post_is_gone(small)


def test_writers_race_with_a_deletion(small: Engine) -> None:
    """What was acknowledged before is erased; afterwards nothing is acknowledged."""
    deleted, over = threading.Event(), threading.Event()
    late: list[int] = []

    def writes(first: int) -> int:
        refused = 0
        for user in itertools.count(first, 4):
            known = deleted.is_set()
            try:
                small.reactions.react(user, POST, "like")
                if known:
                    late.append(user)
            except PostDeleted:
                refused += 1
            small.reactions.react(user, OTHER, "like")
            if refused == 20:
                return len(range(first, user + 1, 4))
        raise AssertionError

    def drains() -> None:
        persister = Persister(small.client, small.database, small.settings)
        while not over.is_set():
            persister.drain([SHARD])

    with ThreadPoolExecutor(5) as pool:
        drain = pool.submit(drains)
        writers = [pool.submit(writes, first) for first in range(1, 5)]
        try:
            wait_until(lambda: len(rows_of(small, "post_id = :post", post=POST)) > 20)
            small.reactions.delete_post(POST)
            deleted.set()
            small.eraser.erase()
            written = sum(writer.result(PATIENCE_S) for writer in writers)
        finally:
            over.set()
        drain.result(PATIENCE_S)
    assert late == []
    finish(small)
    check_post_is_gone(small)
    assert small.reactions.counts(OTHER)["like"] == written
    assert small.verify().holds


def test_two_erasers_do_no_harm_to_each_other(small: Engine) -> None:
    posts = range(1, 13)
    small.reactions.react_many(
        (user, post, "like") for post in posts for user in (*range(10, 30), USER)
    )
    small.drain()
    for post in posts[:6]:
        small.reactions.delete_post(post)
    small.reactions.forget_user(USER)

    def erases(_: int) -> None:
        eraser = Eraser(small.client, small.database, small.settings)
        persister = Persister(small.client, small.database, small.settings)
        while any(small.erasure_requests.unfinished()):
            eraser.erase(0.02)
            persister.drain(range(100))

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(erases, range(3)))
    small.drain()
    for post in posts[:6]:
        check_post_is_gone(small, post)
    left = rows_of(small, "post_id > 0")
    assert left == [(post, user, 1) for post in posts[6:] for user in range(10, 30)]
    assert small.verify().holds


# -- Redis loses its mark --------------------------------------------------------------------------


def test_a_mark_that_redis_lost_is_put_back_by_a_drain(small: Engine) -> None:
    react(small, POST, range(1, 6))
    small.drain()
    small.reactions.delete_post(POST)
    finish(small)
    small.client.delete(keys.outbox_deleted(SHARD))
    react(small, POST, range(1, 4), "love")  # it does not know any better
    react(small, OTHER, range(1, 4), "love")
    small.drain()
    check_post_is_gone(small)
    with pytest.raises(PostDeleted):
        small.reactions.react(1, POST, "like")
    assert small.reactions.summaries([POST], 1)[0].tier is Tier.DELETED
    assert small.reactions.counts(OTHER)["love"] == 3


@pytest.mark.parametrize("large", [False, True])
def test_what_comes_behind_a_claim_of_a_lost_mark_goes_too(small: Engine, large: bool) -> None:
    small.reactions.delete_post(POST)
    finish(small)
    small.client.delete(keys.outbox_deleted(SHARD))
    react(small, POST, range(1, 30 if large else 4))
    play = Play(small)
    play.claim()
    react(small, POST, [1, 77], "wow")
    play.record()
    react(small, POST, [2, 78], "wow")
    play.settle()
    check_post_is_gone(small)
    with pytest.raises(PostDeleted):
        small.reactions.react(1, POST, "like")


def test_a_mark_that_was_lost_while_the_rows_go_does_not_stop_that(small: Engine) -> None:
    react(small, POST, range(1, 30))
    small.drain()
    small.reactions.delete_post(POST)
    small.eraser.erase(0.0)
    small.client.delete(keys.outbox_deleted(SHARD))
    react(small, POST, range(25, 60), "love")
    finish(small)
    small.drain()
    check_post_is_gone(small)


# -- a user is forgotten ---------------------------------------------------------------------------

POSTS = range(1, 41)


def populate(engine: Engine) -> dict[int, dict[int, int]]:
    """Posts of all tiers with the user and others; post -> user -> code of the others."""
    play = random.Random(1)  # noqa: S311 - not for secrecy
    names = list(engine.settings.reaction_types)
    others: dict[int, dict[int, int]] = {}
    for post in POSTS:
        users = range(10, 10 + play.choice([0, 1, 3, 8, 20]))
        items = [(user, post, play.choice(names)) for user in users]
        engine.reactions.react_many([*items, (USER, post, play.choice(names))])
        others[post] = {user: engine.settings.reaction_types[name] for user, _, name in items}
    engine.drain()
    engine.reactions.react_many((USER, post, None) for post in POSTS if post % 5 == 0)
    engine.drain()
    engine.loader.load([post for post in POSTS if post % 2])
    return others


def check_user_is_gone(engine: Engine, others: dict[int, dict[int, int]]) -> None:
    assert rows_of(engine, "user_id = :user", user=USER) == []
    assert engine.queries.reactions(list(others)) == others
    for post, users in others.items():
        counts = {code: list(users.values()).count(code) for code in set(users.values())}
        found = engine.reactions.counts(post)
        codes = engine.settings.reaction_types
        assert {codes[name]: number for name, number in found.items() if number} == counts
    assert keys_of(engine, f"user:*:{USER}:*") == set()
    assert engine.reactions.history(USER).items == ()
    assert {s.reaction for s in engine.reactions.summaries(list(others), USER)} == {None}
    assert engine.erasure_requests.unfinished() == ([], {})
    check_counts(engine)
    assert engine.verify().holds


def test_everything_a_user_did_goes_and_nothing_else(small: Engine) -> None:
    """Counts are exact after every step, in both stores."""
    others = populate(small)
    small.reactions.forget_user(USER)
    calls = 0
    while small.erasure_requests.unfinished()[1]:
        small.eraser.erase(0.0)
        check_counts(small)
        assert small.verify().holds
        small.drain()
        check_counts(small)
        assert small.verify().holds
        calls += 1
    assert calls > len(POSTS) // BATCH
    check_user_is_gone(small, others)


def test_what_is_pending_or_claimed_goes_too(small: Engine) -> None:
    others = populate(small)
    small.reactions.react_many((USER, post, "wow") for post in (1, 2, 3, 5, 10, 777))
    claims, _ = small.outbox.claim(dict.fromkeys((1, 2, 77), ""))
    assert sum(len(claim.posts) for claim in claims) == 3
    small.reactions.react_many((USER, post, "sad") for post in (2, 4, 888))
    small.reactions.forget_user(USER)
    for _ in range(5):  # a drain holds some; until it is done, the erasure cannot be
        small.eraser.erase()
        small.persister.drain(set(range(100)) - {1, 2, 77})
        assert USER in small.erasure_requests.unfinished()[1]
    small.persister.settle(claims, small.persister.record(claims, Drained()), Drained())
    finish(small)
    check_user_is_gone(small, others | {777: {}, 888: {}})


def test_a_reaction_that_waits_in_redis_holds_an_erasure_up(small: Engine) -> None:
    react(small, POST, [USER])
    small.reactions.forget_user(USER)
    for _ in range(5):
        small.eraser.erase()
    assert USER in small.erasure_requests.unfinished()[1]
    small.drain()
    finish(small)
    check_user_is_gone(small, {POST: {}})


def test_what_a_user_does_afterwards_stays(small: Engine) -> None:
    others = populate(small)
    small.reactions.forget_user(USER)
    finish(small)
    check_user_is_gone(small, others)
    for post in (1, 2, 5, 999):
        small.reactions.react(USER, post, "angry")
    small.drain()
    small.eraser.erase()
    found = rows_of(small, "user_id = :user", user=USER)
    assert found == [(post, USER, 6) for post in (1, 2, 5, 999)]
    assert [r.post_id for r in small.reactions.history(USER).items] == [999, 5, 2, 1]
    assert small.verify().holds


def test_what_a_user_does_once_it_has_begun_stays_if_it_is_newer(small: Engine) -> None:
    """From the first step on, which notes the time, also while the rest is under way."""
    others = populate(small)
    small.reactions.forget_user(USER)
    small.eraser.erase(0.0)
    small.reactions.react(USER, 888, "angry")
    small.drain()
    small.reactions.react(USER, 999, "angry")
    finish(small)
    assert rows_of(small, "user_id = :user", user=USER) == [(888, USER, 6), (999, USER, 6)]
    assert small.queries.reactions(list(others)) == others
    assert small.reactions.reaction_of(USER, 999) == "angry"
    check_counts(small)
    assert small.verify().holds


def test_a_stale_drain_does_not_bring_a_user_back(small: Engine) -> None:
    """It claimed before the erasure, and wakes up long after; its other rows are as they were."""
    react(small, POST, [USER, FELLOW])
    react(small, OTHER, [USER])
    claims, _ = small.outbox.claim({SHARD: ""})
    lapse(small)
    small.drain()
    small.reactions.forget_user(USER)
    finish(small)
    for _ in range(2):
        late = Drained()
        batch = small.persister.record(claims, late)
        assert late.changed == 0
        small.persister.settle(claims, batch, late)
        assert late.lost == 1
        check_user_is_gone(small, {POST: {FELLOW: 1}, OTHER: {}})
        none: list[dict[bytes, bytes]] = [{}, {b"1042": b"0"}, {b"0": b"1"}]
        assert small.client.hgetall(keys.user_reactions(USER)) in none
        small.client.delete(keys.user_reactions(USER))


def test_a_reader_who_comes_late_does_not_remember_a_forgotten_user(small: Engine) -> None:
    react(small, POST, [USER])
    small.drain()
    users = small.eraser._users
    run_many(small.client, [users.fence_command(USER, "t")])
    found = small.queries.summaries([], USER, [POST])[1]
    assert found == {POST: 1}
    small.reactions.forget_user(USER)
    finish(small)
    assert not users.install_call(USER, "t", found, whole=False).run(small.client)
    check_user_is_gone(small, {POST: {}})


def test_the_dead_letters_of_a_user_go_too(small: Engine) -> None:
    for user in (USER, FELLOW):
        react(small, POST, [user])
        small.client.hset(keys.post_pending(POST), str(user), "99:1700000000000000")
        small.client.hset(keys.post_pending(OTHER), str(user), "like")
        small.client.zadd(keys.outbox_dirty(SHARD), {str(OTHER): 1})
    small.drain()
    assert small.dead_letters.count() == 4
    small.reactions.forget_user(USER)
    finish(small)
    with small.database.engine.connect() as connection:
        left = connection.execute(text('SELECT DISTINCT "user" FROM dead_letters')).scalars().all()
    assert left == [str(FELLOW)]


@pytest.mark.parametrize("when", ["before it begins", "in the middle", "after it"])
def test_forgetting_a_user_twice_is_as_good_as_once(small: Engine, when: str) -> None:
    others = populate(small)
    client = small.reactions
    client.forget_user(USER)
    if when == "in the middle":
        small.eraser.erase(0.0)
        small.drain()
        small.eraser.erase(0.0)
    elif when == "after it":
        finish(small)
    client.react(USER, 1, "angry")
    client.forget_user(USER)
    finish(small)
    check_user_is_gone(small, others)


def test_a_user_who_never_did_anything_can_be_forgotten(small: Engine) -> None:
    react(small, POST, [FELLOW])
    small.drain()
    small.reactions.forget_user(USER)
    finish(small)
    check_user_is_gone(small, {POST: {FELLOW: 1}})


def test_several_users_are_forgotten_together(small: Engine) -> None:
    users = range(1, 21)
    small.reactions.react_many((user, post, "like") for post in POSTS for user in users)
    small.drain()
    for user in users[::2]:
        small.reactions.forget_user(user)
    finish(small)
    expected = [(post, user, 1) for post in POSTS for user in users[1::2]]
    assert rows_of(small, "user_id > 0") == expected
    assert small.verify().holds


def test_a_forgotten_user_leaves_a_viral_post_as_they_could_have_done(small: Engine) -> None:
    react(small, POST, range(1, 21))
    small.drain()
    react(small, POST, [USER], "love")  # the newest of the sample
    small.drain()
    small.reactions.forget_user(USER)
    finish(small)
    assert USER not in [r.user_id for r in small.reactions.recent(POST, 5)]
    assert small.client.get(keys.post_total_reactions(POST)) == b"19"
    check_user_is_gone(small, {POST: {user: 1 for user in range(1, 21) if user != USER}})


def test_who_was_forgotten_never_reacted(small: Engine) -> None:
    react(small, POST, [USER, FELLOW])
    small.drain()
    assert small.reactions.uniques(POST) == 2
    small.reactions.forget_user(USER)
    finish(small)
    assert small.reactions.uniques(POST) == 1


def test_a_forgotten_user_of_deleted_posts(small: Engine) -> None:
    others = populate(small)
    for post in (1, 2, 3):
        small.reactions.delete_post(post)
        del others[post]
    small.reactions.forget_user(USER)
    finish(small)
    check_user_is_gone(small, others)
    assert rows_of(small, "post_id IN (1, 2, 3)") == []


@pytest.mark.parametrize("evicts", [False, True])
def test_a_user_is_forgotten_also_where_nothing_is_cached(small: Engine, evicts: bool) -> None:
    others = populate(small)
    small.reactions.forget_user(USER)
    while small.erasure_requests.unfinished()[1]:
        small.eraser.erase(0.0)
        if evicts:
            for key in small.client.scan_iter(count=10_000):
                if small.client.pttl(key) >= 0:
                    small.client.delete(key)
        small.drain()
    check_user_is_gone(small, others)


@pytest.mark.parametrize("after", [False, True])
def test_an_erasure_of_a_user_that_dies_at_any_step_goes_on(small: Engine, after: bool) -> None:
    deaths = 0
    posts = range(1, 11)
    others = {post: {FELLOW: 1} for post in posts}
    for life in itertools.count():
        small.reactions.react_many(
            (user, post, "like") for post in posts for user in (USER, FELLOW)
        )
        small.drain()
        small.reactions.react(USER, 3, "love")
        small.reactions.forget_user(USER)
        eraser = mortal(small, life, after=after)
        died = False
        while not died and small.erasure_requests.unfinished()[1]:
            try:
                eraser.erase()
            except DiedError:
                died = True
            check_counts(small)
            small.drain()
        finish(small)
        check_user_is_gone(small, others)
        if not died:
            break
        deaths += 1
    assert deaths > 10


def test_reactions_from_before_a_step_of_the_clock_are_forgotten(small: Engine) -> None:
    """The clock of Redis was ahead for a while: versions of then are ahead of now."""
    ahead = small.client.time()[0] * 1_000_000 + 3_600_000_000
    small.client.set(keys.outbox_clock(SHARD), ahead)
    react(small, POST, [USER, FELLOW])
    small.drain()
    small.reactions.forget_user(USER)
    finish(small)
    check_user_is_gone(small, {POST: {FELLOW: 1}})


def test_after_a_step_of_the_clock_a_forgotten_user_can_come_back(small: Engine) -> None:
    """Versions of one shard are ahead of the clock, and so of what the others give out now."""
    ahead = small.client.time()[0] * 1_000_000 + 3_600_000_000
    small.client.set(keys.outbox_clock(SHARD), ahead)
    react(small, POST, [USER, FELLOW])
    small.drain()
    small.reactions.forget_user(USER)
    finish(small)
    small.reactions.react_many((USER, post, "wow") for post in (POST, POST + 1, 77))
    small.drain()
    assert rows_of(small, "user_id = 7") == [(post, USER, 4) for post in (77, POST, POST + 1)]
    assert small.reactions.counts(POST + 1)["wow"] == 1
    assert small.verify().holds


@pytest.mark.parametrize("method", ["now_us", "newest_version"])
def test_what_a_user_does_just_when_the_time_is_noted_stays(small: Engine, method: str) -> None:
    """At any reading of any clock but the first, which says what is to go."""
    react(small, POST, [USER, FELLOW])
    small.drain()
    small.reactions.forget_user(USER)
    small.eraser.erase()
    small.drain()
    clock: Any = small.eraser._clock
    read = getattr(clock, method)
    posts = itertools.count(2_000)
    acknowledged: list[int] = []

    def reading() -> Any:
        post = next(posts)
        small.reactions.react(USER, post, "wow")
        acknowledged.append(post)
        return read()

    setattr(clock, method, reading)
    while small.erasure_requests.unfinished()[1]:
        small.eraser.erase()  # and no drain, unless it waits for one
        if small.eraser.erase().users == 0:
            small.drain()
    small.drain()
    assert acknowledged
    assert rows_of(small, "user_id = 7") == [(post, USER, 4) for post in acknowledged]
    assert small.verify().holds


def _erased(engine: Engine) -> bool:
    engine.eraser.erase()
    return not any(engine.erasure_requests.unfinished())


def test_a_user_who_goes_on_while_they_are_forgotten(small: Engine) -> None:
    """Whatever became of what they did meanwhile: all is consistent, and the rest is gone."""
    others = populate(small)
    over = threading.Event()

    def goes_on(client: Reactions) -> None:
        play = random.Random(2)  # noqa: S311 - not for secrecy
        while not over.is_set():
            name = play.choice(["wow", "sad", None])
            post = play.choice(POSTS[:10])
            client.react_many([(USER, post, name)])
            assert client.reaction_of(USER, post) in (name, None)  # the eraser may have been here

    def drains() -> None:
        persister = Persister(small.client, small.database, small.settings)
        while not over.is_set():
            persister.drain(range(100))

    with ThreadPoolExecutor(2) as pool:
        threads = [pool.submit(goes_on, small.reactions), pool.submit(drains)]
        small.reactions.forget_user(USER)
        try:
            wait_until(lambda: _erased(small), PATIENCE_S, "the erasure to end")
        finally:
            over.set()
        for thread in threads:
            thread.result(PATIENCE_S)
    small.drain()
    assert all(post in POSTS[:10] for post, _, _ in rows_of(small, "user_id = 7"))
    assert small.queries.reactions(POSTS[10:]) == {post: others[post] for post in POSTS[10:]}
    check_counts(small)
    assert small.verify().holds
    small.reactions.react_many((USER, post, "angry") for post in POSTS)
    small.drain()
    assert rows_of(small, "user_id = 7") == [(post, USER, 6) for post in POSTS]
