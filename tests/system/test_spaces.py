"""Spaces beside each other: nothing of one shows in another, and all of it becomes durable."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from reactions import aio
from reactions.api.client import Reactions
from reactions.core.errors import InvalidArgument
from reactions.core.model import Status, Tier
from reactions.core.settings import Settings
from reactions.demo.embedded import Postgres
from reactions.postgres.migrate import migrate_spaces
from reactions.redis.keys import keys_of
from tests.support.databases import own_database
from tests.support.engine import DEAD_BROKER, Engine, make_engine
from tests.support.waiting import patience, patient

ITEM, USER = 1042, 17


@pytest.fixture(scope="module")
def spaced(postgres: Postgres) -> Iterator[str]:
    """A database with the schemas of three spaces."""
    with own_database(postgres.url) as url:
        migrate_spaces(Settings(database_url=url, **SPACES))
        yield url


SPACES = {
    "spaces": {
        "comment": {"reaction_types": "up,down", "viral_threshold": 10},
        "photo": {"database_schema": "pictures"},
    }
}


@pytest.fixture
def settings(redis_url: str, spaced: str) -> Settings:
    return Settings(
        redis_url=redis_url,
        database_url=spaced,
        broker_url=DEAD_BROKER,
        viral_horizon_s=0,
        redis_timeout_s=patience(0.5),
        **patient(),
        **SPACES,
    )


@pytest.fixture
def engines(settings: Settings) -> Iterator[dict[str, Engine]]:
    made = {own.space: make_engine(own) for own in settings.each_space()}
    with next(iter(made.values())).database.engine.begin() as connection:
        for own in settings.each_space():
            tables = "reactions, reaction_counts, posts, dead_letters"
            connection.execute(text(f"SET LOCAL search_path = {own.database_schema}"))
            connection.execute(text(f"TRUNCATE {tables}"))
    yield made
    for engine in made.values():
        engine.close()


@pytest.fixture
def posts(engines: dict[str, Engine]) -> Engine:
    return engines["post"]


@pytest.fixture
def comments(engines: dict[str, Engine]) -> Engine:
    return engines["comment"]


def evict(engine: Engine) -> None:
    """Drop every cache key of every space, as Redis may."""
    found: list[bytes] = engine.client.keys("*")  # type: ignore[assignment] # not awaitable
    cached = [name for name in found if engine.client.pttl(name) >= 0]
    assert cached
    engine.client.delete(*cached)


def test_the_same_ids_are_other_things_in_another_space(
    engines: dict[str, Engine], posts: Engine, comments: Engine
) -> None:
    assert posts.reactions.react(USER, ITEM, "love").status in (Status.ACCEPTED, Status.CREATED)
    assert comments.reactions.react(USER, ITEM, "down").previous is None
    assert comments.reactions.react(USER, ITEM, "up").previous == "down"
    for step in ("pending", "durable", "evicted"):
        if step == "durable":
            for engine in engines.values():
                engine.drain()
        if step == "evicted":
            evict(posts)
        (post,) = posts.reactions.summaries([ITEM], USER)
        (comment,) = comments.reactions.summaries([ITEM], USER)
        assert (post.reaction, post.total) == ("love", 1)
        assert (comment.reaction, comment.total) == ("up", 1)
        assert dict(comment.counts) == {"up": 1, "down": 0}
        assert engines["photo"].reactions.reaction_of(USER, ITEM) is None
    assert [row.post_id for row in posts.reactions.history(USER).items] == [ITEM]
    assert comments.reactions.unreact(USER, ITEM).status in (Status.ACCEPTED, Status.REMOVED)
    comments.drain()
    assert comments.reactions.reaction_of(USER, ITEM) is None  # the drain wrote the user's cache
    assert posts.reactions.reaction_of(USER, ITEM) == "love"
    assert posts.reactions.counts(ITEM)["love"] == 1
    assert all(engine.verify().holds for engine in engines.values())


def test_each_space_has_its_own_types_and_thresholds(posts: Engine, comments: Engine) -> None:
    with pytest.raises(InvalidArgument, match="reaction must be one of up, down"):
        comments.reactions.react(USER, ITEM, "love")
    assert set(comments.reactions.reaction_types) == {"up", "down"}
    for client, name in ((posts.reactions, "like"), (comments.reactions, "up")):
        client.react_many([(user, ITEM, name) for user in range(1, 13)])
    for engine in (posts, comments):
        engine.drain()
    assert posts.reactions.summaries([ITEM])[0].tier is Tier.REGULAR
    assert comments.reactions.summaries([ITEM])[0].tier is Tier.VIRAL
    assert [each.user_id for each in comments.reactions.recent(ITEM, 2)] == [12, 11]
    assert comments.reactions.uniques(ITEM) == 12
    assert comments.verify().holds


def test_every_key_and_row_is_of_its_space(comments: Engine) -> None:
    comments.reactions.react_many([(user, ITEM, "up") for user in range(1, 13)])
    comments.drain()
    comments.reactions.summaries([ITEM, ITEM + 1], USER)
    keys = keys_of("comment")
    own = (keys.post_prefix(0).partition("{")[0], keys.outbox_word)
    found = {name.decode() for name in comments.client.keys("*")}  # type: ignore[union-attr]
    other = {
        name
        for name in found
        if not name.startswith(own)
        and not (name.startswith("user:") and name.endswith(keys.user_suffix))
    }
    assert found
    assert other <= {"outbox:{0}:types", keys.outbox_layout()}
    with comments.database.transaction() as connection:
        tables = "reactions_comment.reactions", "reactions.reactions", "pictures.reactions"
        numbers = [connection.scalar(text(f"SELECT count(*) FROM {table}")) for table in tables]  # noqa: S608
    assert numbers == [12, 0, 0]


def test_one_client_leads_to_every_space(settings: Settings, engines: dict[str, Engine]) -> None:
    with Reactions(settings) as client:
        of_comments = client.space("comment")
        assert of_comments is client.space("comment")
        assert of_comments.space("post") is client
        client.react(USER, ITEM, "love")
        of_comments.react(USER, ITEM, "up")
        assert client.reaction_of(USER, ITEM) == "love"
        assert of_comments.reaction_of(USER, ITEM) == "up"
        for engine in engines.values():
            engine.drain()
        evict(engines["post"])  # PostgreSQL answers, over the pool that the spaces share
        assert of_comments.summaries([ITEM], USER)[0].reaction == "up"
        assert [each.reaction for each in of_comments.reactors(ITEM).items] == ["up"]
        assert client.summaries([ITEM], USER)[0].reaction == "love"
        assert of_comments._client is client._client
        pool = client._reads.reads().database.engine.pool
        assert of_comments._reads.reads().database.engine.pool is pool
        waiting = client._relay._wanted_of
        assert {space: it.shards for space, it in waiting.items() if it.shards}.keys() <= {
            "post",
            "comment",
        }
        with pytest.raises(InvalidArgument, match="space must be one of post, comment, photo"):
            client.space("message")
    with Reactions(settings, space="comment") as client:
        assert client.reaction_of(USER, ITEM) == "up"
        assert client.space("post").reaction_of(USER, ITEM) == "love"


def test_the_asynchronous_client_leads_there_too(settings: Settings, comments: Engine) -> None:
    async def calls() -> tuple[str | None, str | None]:
        async with aio.Reactions(settings) as client:
            of_comments = client.space("comment")
            await of_comments.react(USER, ITEM, "up")
            found = await of_comments.summaries([ITEM], USER)
            return found[0].reaction, await client.reaction_of(USER, ITEM)

    assert asyncio.run(calls()) == ("up", None)
    assert comments.reactions.reaction_of(USER, ITEM) == "up"


def test_a_cursor_of_another_space_is_refused(posts: Engine, comments: Engine) -> None:
    for client, name in ((posts.reactions, "like"), (comments.reactions, "up")):
        client.react_many([(user, ITEM, name) for user in range(1, 4)])
    cursor = posts.reactions.reactors(ITEM, limit=1).cursor
    assert posts.reactions.reactors(ITEM, limit=1, cursor=cursor).items
    with pytest.raises(InvalidArgument, match="cursor"):
        comments.reactions.reactors(ITEM, limit=1, cursor=cursor)


def test_erasures_are_of_one_space(posts: Engine, comments: Engine) -> None:
    for client, name in ((posts.reactions, "like"), (comments.reactions, "up")):
        client.react_many([(user, item, name) for user in (USER, 18) for item in (ITEM, ITEM + 1)])
    for engine in (posts, comments):
        engine.drain()
    comments.reactions.delete_post(ITEM)
    assert comments.reactions.summaries([ITEM])[0].tier is Tier.DELETED
    assert posts.reactions.summaries([ITEM])[0].tier is Tier.REGULAR
    comments.reactions.forget_user(USER)
    for _ in range(5):
        comments.eraser.erase()
        comments.drain()
    assert comments.reactions.counts(ITEM)["up"] == 0
    assert comments.reactions.counts(ITEM + 1)["up"] == 1
    assert [posts.reactions.counts(item)["like"] for item in (ITEM, ITEM + 1)] == [2, 2]
    assert posts.verify().holds
    assert comments.verify().holds
