"""A process and the registry of reaction types: contradictions, new, renamed and retired types."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from reactions.api.client import Reactions
from reactions.core.errors import InvalidArgument, TypesMismatch
from reactions.core.layout import CURRENT
from reactions.core.model import Status
from reactions.core.settings import Settings
from reactions.core.type_registry import ReactionType
from reactions.maintenance.loss_detection import LossDetection
from reactions.postgres.type_registry import TypeRegistry
from reactions.redis.connection import Client
from reactions.redis.keys import Keys
from reactions.redis.keys import default_keys as keys
from reactions.redis.layout import read_layout
from reactions.redis.type_copy import read_types, write_types
from tests.support.engine import Engine
from tests.support.types import configured, publish
from tests.support.waiting import wait_until

POST = 1042


@pytest.fixture
def registry(engine: Engine) -> TypeRegistry:
    return TypeRegistry(engine.database)


@pytest.fixture
def other(engine: Engine) -> Iterator[Reactions]:
    """A second process, whose configuration names no types."""
    with Reactions(engine.settings) as client:
        yield client


@pytest.mark.parametrize(
    ("types", "remedy"),
    [
        ("like,laugh", "laugh=2, but code 2 is love"),  # love was taken out of the middle
        ("like,care,laugh", "reactions types rename OLD NEW"),
        ("like,love=3", "love=3, but code 3 is laugh"),
        ("like=9", "like has code 1"),
        ("like,love,laugh,wow,sad,angry,new", "not in the registry.*new; run: reactions migrate"),
    ],
)
def test_a_contradiction_is_refused_before_anything_is_sent(
    engine: Engine, types: str, remedy: str
) -> None:
    with configured(engine.settings, types) as wrong:
        for call in (
            lambda: wrong.react(1, POST, "like"),
            lambda: wrong.unreact(1, POST),
            lambda: wrong.react_many([(1, POST, None)]),
            lambda: wrong.counts(POST),
            lambda: wrong.summaries([POST], 1),
            lambda: wrong.reaction_of(1, POST),
            lambda: wrong.history(1),
            lambda: wrong.reactors(POST, "like"),
            lambda: wrong.recent(POST),
            wrong.types,
        ):
            with pytest.raises(TypesMismatch, match=remedy):
                call()
    assert engine.outbox_state.pending() == 0


def test_a_part_of_the_types_in_any_order_is_no_contradiction(engine: Engine) -> None:
    with configured(engine.settings, "wow=4,like=1") as part:
        part.react(1, POST, "wow")
        assert list(part.counts(POST)) == ["wow", "like", "love", "laugh", "sad", "angry"]


def test_without_the_copy_a_write_does_without_postgresql(engine: Engine) -> None:
    engine.client.delete(keys.outbox_types())
    nowhere = Settings(database_url="postgresql://127.0.0.1:1/none").database_url
    settings = engine.settings.model_copy(update={"database_url": nowhere})
    with Reactions(settings) as client:
        assert client.react(1, POST, "like").reaction == "like"


@pytest.mark.parametrize("reads", [True, False])
def test_without_the_copy_a_contradiction_is_refused_once_the_copy_is_there(
    engine: Engine, registry: TypeRegistry, reads: bool
) -> None:
    engine.client.delete(keys.outbox_types())
    with configured(engine.settings, "like,laugh") as wrong:
        wrong.react(1, POST, "like")
        wrong.counts(POST)
        publish(engine, registry)

        def refused() -> bool:
            try:
                if reads:
                    wrong.counts(POST)
                else:
                    wrong.react(1, POST + 100, "like")
                    wrong.unreact(1, POST + 100)
            except TypesMismatch as error:
                return "laugh=2, but code 2 is love" in str(error)
            return False

        wait_until(refused, what="the copy to be read")
        with pytest.raises(TypesMismatch):
            wrong.react(1, POST, "like")


def test_a_running_process_learns_a_type_that_it_meets(
    engine: Engine, registry: TypeRegistry, other: Reactions
) -> None:
    engine.reactions.warm([POST])
    old = engine.reactions
    old.react(2, POST, "like")
    old.counts(POST)
    registry.add("🎉")
    publish(engine, registry)
    other.react(1, POST, "🎉")
    outcome = old.react(1, POST, "wow")
    assert (outcome.status, outcome.previous) == (Status.REPLACED, "🎉")
    assert "🎉" in old.counts(POST)
    assert old.react(1, POST, "🎉").previous == "wow"


def test_a_type_that_nobody_can_name_makes_the_previous_reaction_unknown(
    engine: Engine, registry: TypeRegistry, other: Reactions
) -> None:
    engine.reactions.react(2, POST, "like")  # knows the registry as it was
    before = registry.all()
    registry.add("party")
    publish(engine, registry)
    other.react(1, POST, "party")
    write_types(engine.client, keys, before)  # an older copy
    outcome = engine.reactions.react(1, POST, "wow")
    assert (outcome.status, outcome.reaction, outcome.previous) == (Status.ACCEPTED, "wow", None)
    other.react(3, POST, "party")
    outcome = engine.reactions.unreact(3, POST)
    assert (outcome.status, outcome.reaction, outcome.previous) == (Status.ACCEPTED, None, None)


def test_a_rename_stops_nobody(engine: Engine, registry: TypeRegistry) -> None:
    for user in range(1, 6):
        engine.reactions.react(user, POST, "love")
    registry.rename("love", "care")
    publish(engine, registry)
    with configured(engine.settings, "like,love,laugh") as old, Reactions(engine.settings) as new:
        assert old.react(1, POST, "care").status is Status.UNCHANGED
        assert new.react(1, POST, "love").status is Status.UNCHANGED
        assert (old.counts(POST)["love"], new.counts(POST)["care"]) == (5, 5)
        assert (old.reaction_of(1, POST), new.reaction_of(1, POST)) == ("love", "care")
        assert new.reactors(POST, "love").items == new.reactors(POST, "care").items
    engine.drain()
    engine.persister = type(engine.persister)(engine.client, engine.database, engine.settings)
    engine.reactions.react(9, POST, "like")
    engine.drain()
    assert engine.verify().holds


def test_a_retired_type_is_read_and_taken_away_and_not_given(
    engine: Engine, registry: TypeRegistry
) -> None:
    engine.reactions.react(1, POST, "sad")
    registry.retire("sad")
    publish(engine, registry)
    with Reactions(engine.settings) as client:
        for give in (
            lambda: client.react(2, POST, "sad"),
            lambda: client.react_many([(2, POST, "sad")]),
        ):
            with pytest.raises(InvalidArgument, match="reaction must be one of"):
                give()
        assert client.counts(POST)["sad"] == 1
        assert [found.user_id for found in client.reactors(POST, "sad").items] == [1]
        assert client.unreact(1, POST).previous == "sad"


def test_a_running_process_that_writes_notices_a_retirement(
    engine: Engine, registry: TypeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reactions.api.known_types.LOOK_S", 0.0)
    running = engine.reactions
    running.react(1, POST, "sad")
    registry.retire("sad")
    publish(engine, registry)

    def refused() -> bool:
        running.react(2, POST + 100, "like")
        running.unreact(2, POST + 100)
        try:
            running.react(3, POST, "sad")
        except InvalidArgument:
            return True
        return False

    wait_until(refused, what="the relay to read the registry")


def test_a_running_process_that_only_reads_learns_all_changes(
    engine: Engine, registry: TypeRegistry, other: Reactions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reactions.api.known_types.LOOK_S", 0.1)
    reader = engine.reactions
    other.react(1, POST, "love")
    assert "party" not in reader.counts(POST)
    registry.add("party")
    registry.rename("love", "care")
    registry.retire("sad")
    publish(engine, registry)

    def learned() -> bool:
        (found,) = reader.summaries([POST], 1)
        return (found.reaction, found.counts.get("care")) == ("care", 1)

    wait_until(learned, what="a reader learns the new names")
    assert reader.counts(POST).keys() >= {"party", "care", "sad"}
    assert [found.reaction for found in reader.reactors(POST, "care").items] == ["care"]
    with pytest.raises(InvalidArgument):
        reader.react(2, POST, "sad")


def test_a_reader_that_looks_again_does_not_wait(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The relay looks, with a client of its own."""
    by: list[Client] = []

    def counted(client: Client, keys: Keys) -> tuple[ReactionType, ...] | None:
        by.append(client)
        return read_types(client, keys)

    with Reactions(engine.settings) as client:
        client.counts(POST)
        monkeypatch.setattr("reactions.api.known_types.read_types", counted)
        monkeypatch.setattr("reactions.api.known_types.LOOK_S", 0.0)

        def looked() -> bool:
            client.counts(POST)
            return len(by) > 2

        wait_until(looked, what="the relay looks")
        assert client._client not in by


def test_only_the_first_call_reads_the_registry(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[Client] = []

    def counted(client: Client, keys: Keys) -> tuple[ReactionType, ...] | None:
        reads.append(client)
        return read_types(client, keys)

    monkeypatch.setattr("reactions.api.known_types.read_types", counted)
    monkeypatch.setattr("reactions.api.known_types.LOOK_S", 1e6)
    with Reactions(engine.settings) as client:
        for user in range(1, 50):
            client.react(user, POST, "like")
        client.counts(POST)
        assert len(reads) == 1


@pytest.mark.parametrize(
    "text",
    ["", "no JSON", "7", "[1]", '[{"code": "x", "name": "like"}]', "[{}]", "[" * 9_999, None],
    ids=range(8),
)
def test_a_spoilt_copy_is_as_good_as_none(engine: Engine, text: str | None) -> None:
    client: Any = engine.client
    client.delete(keys.outbox_types())
    if text is None:
        client.rpush(keys.outbox_types(), "a key of another type")
    else:
        client.set(keys.outbox_types(), text)
    with Reactions(engine.settings) as fresh:
        assert fresh.react(1, POST, "like").reaction == "like"
    engine.drain()  # the first drain of a process writes the copy
    assert read_types(engine.client, keys) == TypeRegistry(engine.database).all()


def test_a_loss_of_redis_brings_the_copy_back(engine: Engine) -> None:
    detection = LossDetection(engine.client, engine.database, engine.settings)
    detection.run()
    engine.client.flushall()
    detection.run()
    assert read_types(engine.client, keys) == TypeRegistry(engine.database).all()
    assert read_layout(engine.client) == CURRENT
