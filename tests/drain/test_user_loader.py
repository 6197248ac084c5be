"""``UserLoader``: one hash with all reactions of a user, never older than what a drain wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from reactions.core.constants import MAX_WHOLE_USER
from reactions.core.errors import ReactionsUnavailable
from reactions.core.model import Row
from reactions.core.settings import Settings
from reactions.drain import user_loader
from reactions.drain.user_loader import UserLoader
from reactions.postgres.database import Database
from reactions.postgres.queries import Queries
from reactions.redis.connection import connect
from reactions.redis.keys import default_keys as keys
from reactions.redis.user_cache import UserCache
from tests.support.engine import Engine
from tests.support.reading import evict, traffic

POST = 1042
USER, FELLOW = 7, 108


def cached(engine: Engine, user: int = USER) -> dict[int, int]:
    found: Any = engine.client.hgetall(keys.user_reactions(user))
    return {int(field): int(value) for field, value in found.items()}


def react(engine: Engine, reactions: dict[int, str | None], user: int = USER) -> None:
    """Let a user react, one post after the other, and drain; nothing stays cached."""
    for post, name in reactions.items():
        engine.reactions.react_many([(user, post, name)])
    engine.drain()
    evict(engine)


class Interrupted(Queries):
    """Queries that call a function after they read the rows of a user."""

    def __init__(self, database: Database, meanwhile: Callable[[int], object]) -> None:
        super().__init__(database)
        self._meanwhile = meanwhile

    def history(self, user_id: int, *args: Any, **options: Any) -> list[Row]:
        found = super().history(user_id, *args, **options)
        self._meanwhile(user_id)
        return found


def loader(engine: Engine, meanwhile: Callable[[int], object]) -> UserLoader:
    users = UserCache(engine.client, engine.settings)
    return UserLoader(engine.client, users, Interrupted(engine.database, meanwhile))


def test_a_load_caches_every_reaction_and_no_tombstone(engine: Engine) -> None:
    react(engine, {1: "like", 2: "love", 3: "wow"})
    react(engine, {2: None})
    assert engine.user_loader.load([USER]) == 1
    assert cached(engine) == {0: 1, 1: 1, 3: engine.settings.reaction_types["wow"]}
    assert engine.client.pttl(keys.user_reactions(USER)) > 0
    assert not engine.client.exists(keys.user_loading(USER))


def test_a_user_without_reactions_is_known_to_have_none(engine: Engine) -> None:
    assert engine.user_loader.load([USER]) == 1
    assert cached(engine) == {0: 1}


def test_a_load_of_no_users(engine: Engine) -> None:
    assert engine.user_loader.load([]) == 0


def test_many_users_in_one_call(engine: Engine) -> None:
    for user in range(1, 31):
        react(engine, {user: "like", POST: "love"}, user)
    assert engine.user_loader.load(range(1, 41)) == 40
    for user in range(1, 41):
        assert cached(engine, user) == {0: 1} | ({user: 1, POST: 2} if user <= 30 else {})


@pytest.mark.parametrize(("reactions", "mark"), [(3, 1), (4, 0), (6, 0)])
def test_a_user_with_too_many_reactions_gets_the_newest(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, reactions: int, mark: int
) -> None:
    monkeypatch.setattr(user_loader, "MAX_WHOLE_USER", 3)
    react(engine, dict.fromkeys(range(1, reactions + 1), "like"))
    assert engine.user_loader.load([USER]) == 1
    newest = range(max(1, reactions - 3), reactions + 1)
    assert cached(engine) == {0: mark} | dict.fromkeys(newest, 1)
    for post in range(1, reactions + 2):
        expected = "like" if post <= reactions else None
        assert engine.reactions.reaction_of(USER, post) == expected


def test_the_mark_stays_on_the_largest_load(engine: Engine) -> None:
    """Otherwise each feed of such a user would request the next load."""
    limit = MAX_WHOLE_USER
    react(engine, dict.fromkeys(range(1, limit + 11), "like"))
    assert engine.user_loader.load([USER]) == 1
    assert len(cached(engine)) == limit + 2
    assert cached(engine)[0] == 0


def test_a_drain_during_a_load_refuses_it(engine: Engine) -> None:
    react(engine, {POST: "like"})

    def drain(_: int) -> None:
        engine.reactions.react(USER, POST, "love")
        engine.drain()

    assert loader(engine, drain).load([USER]) == 0
    assert cached(engine) == {}
    assert engine.reactions.reaction_of(USER, POST) == "love"


def test_one_refused_user_does_not_affect_the_others(engine: Engine) -> None:
    for user in (USER, FELLOW):
        react(engine, {POST: "like"}, user)

    def drain(user: int) -> None:
        if user == USER:
            engine.reactions.react(USER, POST, "love")
            engine.drain()

    assert loader(engine, drain).load([USER, FELLOW]) == 1
    assert cached(engine) == {}
    assert cached(engine, FELLOW) == {0: 1, POST: 1}


def test_the_later_of_two_loads_wins(engine: Engine) -> None:
    react(engine, {POST: "like"})
    assert loader(engine, lambda _: engine.user_loader.load([USER])).load([USER]) == 0
    assert cached(engine) == {0: 1, POST: 1}


def test_a_pending_reaction_is_read_after_a_load(engine: Engine) -> None:
    react(engine, {POST: "like"})
    engine.reactions.react(USER, POST, "love")
    engine.reactions.react(USER, POST + 1, "wow")
    assert engine.user_loader.load([USER]) == 1
    assert cached(engine) == {0: 1, POST: 1}
    for _ in range(2):  # the second read uses the summary
        found = engine.reactions.summaries([POST, POST + 1], USER)
        assert [summary.reaction for summary in found] == ["love", "wow"]
    engine.drain()
    assert cached(engine) == {0: 1, POST: 2, POST + 1: engine.settings.reaction_types["wow"]}


def test_a_feed_after_a_load_needs_no_query(engine: Engine) -> None:
    react(engine, {POST: "like"})
    engine.user_loader.load([USER])
    feed = range(POST, POST + 20)
    engine.reactions.summaries(feed)  # the posts themselves were cold
    engine.reactions.summaries(feed)
    with traffic(engine.reactions) as seen:
        found = engine.reactions.summaries(feed, USER)
    assert [s.reaction for s in found] == ["like"] + [None] * 19
    assert (seen.trips, seen.queries) == (1, [])


def test_a_deleted_post_does_not_come_back(engine: Engine) -> None:
    react(engine, {POST: "like", POST + 1: "like"})
    engine.reactions.delete_post(POST)
    engine.eraser.erase()
    assert engine.user_loader.load([USER]) == 1
    assert cached(engine) == {0: 1, POST + 1: 1}
    assert engine.reactions.reaction_of(USER, POST) is None


def test_a_load_without_postgresql(engine: Engine) -> None:
    nowhere = Settings(database_url="postgresql://127.0.0.1:1/x", read_timeout_s=0.5)
    database = Database(nowhere)
    users = UserCache(engine.client, engine.settings)
    with pytest.raises(ReactionsUnavailable) as caught:
        UserLoader(engine.client, users, Queries(database)).load([USER])
    assert caught.value.store == "postgresql"
    assert cached(engine) == {}
    database.close()


def test_a_load_without_redis(engine: Engine) -> None:
    settings = Settings(redis_url="redis://127.0.0.1:1/0", redis_timeout_s=0.5)
    with connect(settings) as client, pytest.raises(ReactionsUnavailable) as caught:
        UserLoader(client, UserCache(client, settings), engine.queries).load([USER])
    assert caught.value.store == "redis"
