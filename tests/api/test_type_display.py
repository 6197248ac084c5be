"""What people see of a type: a label and an emoji, under the name that the process uses."""

from __future__ import annotations

import pytest

from reactions.api.client import Reactions
from reactions.core.errors import ReactionsUnavailable
from reactions.postgres.type_registry import TypeRegistry
from reactions.redis.connection import execute
from reactions.redis.keys import default_keys as keys
from tests.support.engine import Engine
from tests.support.types import configured, publish
from tests.support.waiting import wait_until


@pytest.fixture
def registry(engine: Engine) -> TypeRegistry:
    return TypeRegistry(engine.database)


def test_what_people_see_of_a_type(engine: Engine, registry: TypeRegistry) -> None:
    registry.describe("love", "Adore", "🧡")
    registry.rename("laugh", "haha")
    registry.retire("sad")
    publish(engine, registry)
    with configured(engine.settings, "like,love,laugh") as old, Reactions(engine.settings) as new:
        shown = {t.code: (t.name, t.shown_label, t.emoji, t.retired) for t in new.types()}
        assert shown[2] == ("love", "Adore", "🧡", False)
        assert shown[3] == ("haha", "Haha", "😂", False)
        assert shown[5] == ("sad", "Sad", "😢", True)
        assert [t.name for t in old.types()][:3] == ["like", "love", "laugh"]
        assert old.types()[2].former == ("haha",)


def test_what_people_see_is_at_most_a_second_old(engine: Engine, registry: TypeRegistry) -> None:
    assert engine.reactions.types()[1].shown_label == "Love"
    registry.describe("love", "Adore", None)
    publish(engine, registry)
    wait_until(lambda: engine.reactions.types()[1].shown_label == "Adore")


def test_while_redis_fails_the_known_types_stay(engine: Engine, nowhere: Reactions) -> None:
    hasty = engine.settings.model_copy(update={"redis_timeout_s": 0.1})
    with Reactions(hasty) as client:
        before = client.types()
        client._known._read_at = 0.0  # long ago
        execute(engine.client, ("CLIENT", "PAUSE", 1_000))
        assert client.types() == before
    with pytest.raises(ReactionsUnavailable):
        nowhere.types()


def test_without_the_copy_people_see_the_configured_types(engine: Engine) -> None:
    engine.client.delete(keys.outbox_types())
    with configured(engine.settings, "like,hug") as client:
        assert [(t.shown_label, t.emoji) for t in client.types()] == [("Like", "👍"), ("Hug", "")]
