"""The registry of reaction types: codes keep their meaning, names may change."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from reactions.core.errors import InvalidArgument, TypesMismatch
from reactions.core.settings import Settings
from reactions.core.type_names import DEFAULT_EMOJI
from reactions.core.type_registry import ReactionType
from reactions.postgres.migrate import migrate
from reactions.postgres.type_registry import TypeRegistry
from tests.support.engine import Engine


@pytest.fixture
def registry(engine: Engine) -> TypeRegistry:
    return TypeRegistry(engine.database)


def names(registry: TypeRegistry) -> dict[str, int]:
    return {known.name: known.code for known in registry.all()}


def test_a_code_keeps_its_name(registry: TypeRegistry) -> None:
    registry.register({"like": 1, "clap": 9})
    with pytest.raises(TypesMismatch, match="clap=8"):
        registry.register({"clap": 8})
    with pytest.raises(TypesMismatch, match="heart=1, but code 1 is like"):
        registry.register({"heart": 1, "new": 11})
    assert "new" not in names(registry)


def test_a_new_type_takes_the_next_code(registry: TypeRegistry) -> None:
    assert registry.add("🎉") == ReactionType(7, "🎉", emoji="🎉")
    assert registry.add("🎉").code == 7  # safe to repeat
    assert registry.add("far", 100).code == 100
    for name, code in (("like", 8), ("other", 7), ("other", 128), ("remove", None), ("a\nb", None)):
        with pytest.raises(InvalidArgument):
            registry.add(name, code)


def test_adding_at_once_gives_each_type_its_own_code(registry: TypeRegistry) -> None:
    with ThreadPoolExecutor(4) as pool:
        added = list(pool.map(registry.add, ["a", "b", "c", "d", "a", "b"]))
    assert {known.code for known in added} == {7, 8, 9, 10}


def test_a_renamed_type_keeps_its_code_and_its_former_name(registry: TypeRegistry) -> None:
    heart = "\u2764\ufe0f"
    care = ReactionType(2, "care", former=("love",), emoji=heart)
    assert registry.rename("love", "care") == care
    assert registry.rename("love", "care").former == ("love",)  # safe to repeat
    with pytest.raises(InvalidArgument, match="belongs to code 2"):
        registry.add("love")  # the old name never gets another code
    with pytest.raises(InvalidArgument, match="belongs to code 1"):
        registry.rename("care", "like")
    assert registry.rename("care", "love") == ReactionType(2, "love", former=("care",), emoji=heart)
    registry.register({"care": 2})  # an old process works on


def test_a_retired_type_stays_in_the_registry(registry: TypeRegistry) -> None:
    assert registry.retire("sad").retired
    assert [known.name for known in registry.all() if known.retired] == ["sad"]
    assert not registry.retire("sad", False).retired
    with pytest.raises(InvalidArgument, match="like, love"):
        registry.retire("hug")


def test_a_type_has_a_label_and_an_emoji(registry: TypeRegistry) -> None:
    assert [known.emoji for known in registry.all()] == list(DEFAULT_EMOJI.values())
    assert {known.label for known in registry.all()} == {""}
    assert registry.describe("love", "Lots of love", None).shown_label == "Lots of love"
    known = registry.describe("love", None, "🧡")
    assert registry.all()[1] == known
    assert (known.label, known.emoji) == ("Lots of love", "🧡")
    assert registry.rename("love", "care").emoji == "🧡"
    assert registry.describe("care", "", "").shown_label == "Care"
    assert registry.describe("care", None, None).emoji == ""  # safe, and changes nothing
    for label, emoji in (("x" * 65, None), ("a\nb", None), (None, "x" * 17), (None, "\u202e")):
        with pytest.raises(InvalidArgument, match=r"(label|emoji) must be empty, or 1 to 64"):
            registry.describe("care", label, emoji)
    with pytest.raises(InvalidArgument, match="like, care"):
        registry.describe("hug", "Hug", None)


def test_the_migration_gives_the_default_types_their_emoji(
    settings: Settings, registry: TypeRegistry
) -> None:
    migrate(settings, "0008")
    migrate(settings)
    assert [known.emoji for known in registry.all()] == list(DEFAULT_EMOJI.values())


def test_the_default_types_are_for_an_empty_registry(
    registry: TypeRegistry, settings: Settings
) -> None:
    registry.rename("love", "care")
    migrate(settings)
    assert "love" not in names(registry)
    with pytest.raises(TypesMismatch):
        migrate(settings.model_copy(update={"reaction_types": {"like": 1, "laugh": 2}}))


def test_what_is_published_last_was_read_last(registry: TypeRegistry) -> None:
    published: list[int] = []

    def change(number: int) -> None:
        registry.add(f"t{number}")
        registry.publish(lambda found: published.append(len(found)))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(change, range(8)))
    assert published == sorted(published)
    assert published[-1] == len(registry.all())
