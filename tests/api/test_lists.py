"""``Lists.reactors``: stable pages of who reacted; refused arguments of all lists."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from reactions.api import lists
from reactions.api.client import MAX_PAGE, Reactions
from reactions.core.constants import SAMPLE_SIZE
from reactions.core.errors import InvalidArgument
from reactions.core.model import Page, Reactor
from reactions.core.settings import Settings
from reactions.drain.batch import Batch, Drained
from tests.support.engine import Engine
from tests.support.reading import (
    FEED,
    POST,
    SHARD,
    USER,
    evict,
    react,
    traffic,
)


def walk(
    client: Reactions, post_id: int, reaction: str | None = None, limit: int = 3
) -> list[Reactor]:
    found: list[Reactor] = []
    cursor = None
    while True:
        page = client.reactors(post_id, reaction, limit, cursor)
        assert len(page.items) <= limit
        assert page.cursor is None or len(page.items) == limit
        found += page.items
        cursor = page.cursor
        if cursor is None:
            return found


@pytest.mark.parametrize("state", ["pending", "claimed", "recorded", "settled", "mixed", "evicted"])
def test_reactors_are_listed_newest_first_in_every_state(small: Engine, state: str) -> None:
    client = small.reactions
    names = ["like", "love", "wow"]
    expected: list[Reactor] = []
    for user in range(1, 18):
        client.react(user, POST, names[user % 3])
        expected.insert(0, Reactor(user, names[user % 3]))
        if state == "mixed" and user == 9:
            small.drain()
            client.react(4, POST, "sad")
            client.unreact(5, POST)
            expected = [Reactor(4, "sad"), *(r for r in expected if r.user_id not in (4, 5))]
    if state not in ("pending", "mixed"):
        claims, _ = small.outbox.claim({SHARD: ""})
        if state != "claimed":
            batch = small.persister.record(claims, Drained())
            if state != "recorded":
                small.persister.settle(claims, batch, Drained())
    if state == "evicted":
        evict(small)
    for limit in (1, 2, 5, 16, 17, 18, MAX_PAGE):
        assert walk(client, POST, None, limit) == expected
    for name in (*names, "sad", "angry"):
        assert walk(client, POST, name) == [r for r in expected if r.reaction == name]


def test_a_page_of_reactors_is_three_round_trips_and_one_query(engine: Engine) -> None:
    react(engine, POST, range(1, 21))
    engine.drain()
    react(engine, POST, range(21, 24))
    client = engine.reactions
    first = client.reactors(POST, limit=5)
    for cursor in (None, first.cursor):
        with traffic(client) as seen:
            client.reactors(POST, "like", 5) if cursor is None else client.reactors(
                POST, None, 5, cursor
            )
        assert len(seen.queries) == 1
        assert seen.trips <= 3


def test_a_post_without_reactors(engine: Engine) -> None:
    assert engine.reactions.reactors(POST) == Page((), None)
    react(engine, POST, [1])
    react(engine, POST, [1], None)
    for _ in range(2):
        assert engine.reactions.reactors(POST) == Page((), None)
        assert engine.reactions.recent(POST) == []
        engine.drain()


def test_the_last_page_has_no_cursor(engine: Engine) -> None:
    react(engine, POST, range(1, 5))
    first = engine.reactions.reactors(POST, limit=2)
    second = engine.reactions.reactors(POST, limit=2, cursor=first.cursor)
    assert [len(first.items), len(second.items)] == [2, 2]
    assert (first.cursor is None, second.cursor) == (False, None)


class OneDrain:
    """Runs one drain at a time, one step at each call."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._claims: Any = None
        self._batch: Batch | None = None

    def step(self) -> None:
        persister = self._engine.persister
        if self._claims is None:
            self._claims = self._engine.outbox.claim({SHARD: ""})[0] or None
        elif self._batch is None:
            self._batch = persister.record(self._claims, Drained())
        else:
            persister.settle(self._claims, self._batch, Drained())
            self._claims = self._batch = None


KINDS = ["like", "like", "love"]


def _arrive(client: Reactions, post: int, play: random.Random, drain: OneDrain) -> list[Reactor]:
    """Let forty users react; return the reactions of users 1 to 20, who will stay, newest first."""
    stay: list[Reactor] = []
    for user in play.sample(range(1, 41), 40):
        reaction = play.choice(KINDS)
        client.react(user, post, reaction)
        if user <= 20:
            stay.insert(0, Reactor(user, reaction))
        if play.random() < 0.15:
            drain.step()
    return stay


def _stir(engine: Engine, post: int, play: random.Random, drain: OneDrain) -> None:
    """Let other users react and leave, a drain continue, and caches vanish."""
    for _ in range(play.randint(0, 8)):
        react(engine, post, [play.randint(21, 60)], play.choice([*KINDS, None, None]))
    for _ in range(play.randint(0, 2)):
        drain.step()
    if play.random() < 0.2:
        evict(engine)


@pytest.mark.parametrize("kind", [None, "like"])
def test_pages_are_stable_while_others_react_and_leave(small: Engine, kind: str | None) -> None:
    """Each user whose reaction stays is on exactly one page, in order; nobody is on two."""
    client = small.reactions
    play = random.Random(11)  # noqa: S311 - not for secrecy
    for turn in range(25):
        post = 100 * (turn + 1) + SHARD
        drain = OneDrain(small)
        stay = _arrive(client, post, play, drain)
        page = client.reactors(post, kind, play.randint(1, 9))
        seen = list(page.items)
        while page.cursor is not None:
            _stir(small, post, play, drain)
            page = client.reactors(post, kind, play.randint(1, 9), page.cursor)
            seen += page.items
        users = [reactor.user_id for reactor in seen]
        assert len(users) == len(set(users))
        assert all(kind in (None, reactor.reaction) for reactor in seen)
        assert [r for r in seen if r.user_id <= 20] == [
            r for r in stay if kind in (None, r.reaction)
        ]


def test_a_list_is_a_batch_behind_when_too_much_is_pending(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "MAX_LISTED_CHANGES", 10)
    react(engine, POST, range(1, 6))
    engine.drain()
    react(engine, POST, range(6, 16))
    assert [r.user_id for r in walk(engine.reactions, POST)] == list(range(15, 0, -1))
    react(engine, POST, [16])
    assert [r.user_id for r in walk(engine.reactions, POST)] == [5, 4, 3, 2, 1]
    engine.drain()
    assert [r.user_id for r in walk(engine.reactions, POST)] == list(range(16, 0, -1))


def test_nobody_is_on_two_pages_when_more_is_pending_than_is_merged(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second page must not contain users of the first."""
    monkeypatch.setattr(lists, "MAX_LISTED_CHANGES", 10)
    react(engine, POST, range(1, 6))
    engine.drain()
    react(engine, POST, [1], "love")
    page = engine.reactions.reactors(POST, limit=2)
    seen = list(page.items)
    react(engine, POST, range(100, 115))
    while page.cursor is not None:
        page = engine.reactions.reactors(POST, limit=2, cursor=page.cursor)
        seen += page.items
    assert [reactor.user_id for reactor in seen] == [1, 5, 4, 3, 2]


BAD_LIMITS: list[Any] = [0, -1, MAX_PAGE + 1, True, None, "5", 5.0, 10**30]


@pytest.mark.parametrize("bad", BAD_LIMITS, ids=repr)
def test_a_bad_limit_is_refused(bad: Any) -> None:
    with Reactions(Settings(redis_url="redis://127.0.0.1:1")) as nowhere:
        calls: list[Callable[[], object]] = [
            lambda: nowhere.reactors(1, limit=bad),
            lambda: nowhere.history(1, limit=bad),
            lambda: nowhere.recent(1, limit=SAMPLE_SIZE + 1 if bad == MAX_PAGE + 1 else bad),
        ]
        for call in calls:
            with pytest.raises(InvalidArgument, match="an integer from 1 to") as error:
                call()
            assert error.value.argument == "limit"


def test_a_bad_cursor_is_refused(engine: Engine) -> None:
    client = engine.reactions
    react(engine, POST, range(1, 9))
    client.react_many((USER, post, "like") for post in FEED)
    engine.drain()
    everyone = client.reactors(POST, limit=2).cursor
    by_type = client.reactors(POST, "like", limit=2).cursor
    mine = client.history(USER, limit=2).cursor
    assert everyone is not None
    assert by_type is not None
    assert mine is not None
    reactors: list[Any] = ["", "x", by_type, mine, everyone[:-3], everyone.swapcase(), 5, b"x"]
    history: list[Any] = ["", everyone, by_type, mine[1:], client.history(2, 1).cursor or "y"]
    for bad in reactors:
        with pytest.raises(InvalidArgument) as error:
            client.reactors(POST, cursor=bad)
        assert error.value.argument == "cursor"
    for bad in history:
        with pytest.raises(InvalidArgument) as error:
            client.history(USER, cursor=bad)
        assert error.value.argument == "cursor"
    for call in (
        lambda: client.reactors(POST + 100, cursor=everyone),
        lambda: client.reactors(POST, "love", cursor=by_type),
        lambda: client.history(USER + 1, cursor=mine),
    ):
        with pytest.raises(InvalidArgument) as error:
            call()
        assert error.value.argument == "cursor"
    assert client.reactors(POST, limit=2, cursor=everyone).items[0].user_id == 6


@pytest.mark.parametrize("bad", ["LIKE", "", "remove", 1, True, b"like"])
def test_a_bad_type_for_a_list_is_refused(bad: Any) -> None:
    with Reactions(Settings(redis_url="redis://127.0.0.1:1")) as nowhere:
        with pytest.raises(InvalidArgument) as error:
            nowhere.reactors(1, bad)
        assert error.value.argument == "reaction"


@pytest.mark.parametrize("bad", [0, -1, 2**63, True, "1", None, 1.0])
def test_bad_ids_for_lists_are_refused(bad: Any) -> None:
    with Reactions(Settings(redis_url="redis://127.0.0.1:1")) as nowhere:
        calls: list[tuple[str, Callable[[], object]]] = [
            ("post_id", lambda: nowhere.reactors(bad)),
            ("post_id", lambda: nowhere.recent(bad)),
            ("post_id", lambda: nowhere.uniques(bad)),
            ("user_id", lambda: nowhere.history(bad)),
            ("user_id", lambda: nowhere.reaction_of(bad, 1)),
            ("post_id", lambda: nowhere.reaction_of(1, bad)),
            ("post_id", lambda: nowhere.delete_post(bad)),
            ("user_id", lambda: nowhere.forget_user(bad)),
        ]
        for argument, call in calls:
            with pytest.raises(InvalidArgument) as error:
                call()
            assert error.value.argument == argument
