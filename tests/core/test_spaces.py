"""The settings of each space."""

from __future__ import annotations

import pickle

import pytest

from reactions.core.errors import InvalidArgument
from reactions.core.settings import Settings

pytestmark = pytest.mark.usefixtures("bare_environment")

SETTINGS = {
    "viral_threshold": 500,
    "database_schema": "likes",
    "spaces": {"comment": {"reaction_types": "up,down"}, "photo": {"database_schema": "pictures"}},
}


def test_a_space_has_the_plain_settings_but_for_its_own() -> None:
    settings = Settings(**SETTINGS)
    comment, photo = settings.of_space("comment"), settings.of_space("photo")
    assert (comment.space, photo.space, settings.space) == ("comment", "photo", "post")
    assert comment.viral_threshold == photo.viral_threshold == 500
    assert (comment.database_schema, photo.database_schema) == ("likes_comment", "pictures")
    assert comment.reaction_types == {"up": 1, "down": 2}
    assert comment.names_types  # it names its types, and the others leave that to the registry
    assert not photo.names_types
    assert not settings.names_types


def test_each_leads_to_each_other() -> None:
    settings = Settings(**SETTINGS)
    assert settings.of_space("post") is settings
    photo = settings.of_space("comment").of_space("photo")
    assert photo == settings.of_space("photo")
    assert photo.of_space("post") is settings
    assert photo.space_names == settings.space_names == ("post", "comment", "photo")
    assert photo.each_space() == settings.each_space()
    changed = settings.model_copy(update={"hot_rate": 3.0})
    assert changed.of_space("comment").hot_rate == 3.0


@pytest.mark.parametrize("space", ["message", "", None, 7, ["comment"]])
def test_an_unknown_space_is_refused(space: object) -> None:
    settings = Settings(**SETTINGS)
    with pytest.raises(InvalidArgument, match="one of post, comment, photo, as REACTIONS_SPACES"):
        settings.of_space(space)  # type: ignore[arg-type] # the point of the test


def test_another_process_gets_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    for settings in Settings(**SETTINGS).each_space():
        copied = pickle.loads(pickle.dumps(settings))  # noqa: S301 - our own
        assert copied == settings
        assert copied.space == settings.space
        assert copied.each_space() == settings.each_space()
    for name, value in settings.environment().items():  # of any space: they are the same
        monkeypatch.setenv(name, value)
    assert Settings() == Settings(**SETTINGS)
