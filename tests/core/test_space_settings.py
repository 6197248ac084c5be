"""How the settings name spaces, and what each sets for itself."""

from __future__ import annotations

import pytest

from reactions.core.errors import InvalidSettings
from reactions.core.settings import Settings
from reactions.core.space_settings import MAX_SPACES, OF_A_SPACE

pytestmark = pytest.mark.usefixtures("bare_environment")


def test_every_field_of_a_space_is_a_field() -> None:
    assert set(OF_A_SPACE) < set(Settings.model_fields)


def test_variables_set_values_of_a_space(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REACTIONS_SPACES", "comment, comment_reply")
    monkeypatch.setenv("REACTIONS_SPACE_COMMENT_HOT_RATE", "7")
    monkeypatch.setenv("reactions_space_comment_reply_hot_rate", "8")  # as all other variables
    settings = Settings.from_env()
    assert settings.space_names == ("post", "comment", "comment_reply")
    rates = [of_space.hot_rate for of_space in settings.each_space()]
    assert rates == [Settings.model_fields["hot_rate"].default, 7, 8]


def test_json_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REACTIONS_SPACES", '{"comment": {"hot_rate": 7}}')
    assert Settings().of_space("comment").hot_rate == 7
    monkeypatch.setenv("REACTIONS_SPACE_COMMENT_VIRAL_THRESHOLD", "500")  # with it
    assert Settings().of_space("comment").viral_threshold == 500
    assert Settings().of_space("comment").hot_rate == 7
    given = Settings(spaces={"photo": {"hot_rate": 9}})  # a keyword comes before variables
    assert given.space_names == ("post", "photo")


@pytest.mark.parametrize(
    ("spaces", "why"),
    [
        ("Comment", "is not the name of a space"),
        ("user", "is not the name of a space"),
        ("outbox", "is not the name of a space"),
        ("a" * 31, "is not the name of a space"),
        ("comment,comment", "names a space twice"),
        ("{", "is not JSON"),
        ('{"comment": 7}', "should be a valid dictionary"),
        ('{"comment": {"redis_url": "redis://x"}}', "sets 'redis_url'; a space may set"),
        ('{"comment": {"hot_rate": "x"}}', "in the space comment: hot_rate: "),
        ('{"post": {"hot_rate": 1}}', "the space post has the plain settings"),
        (",".join(f"s{n}" for n in range(MAX_SPACES)), f"has more than {MAX_SPACES} spaces"),
        ([1], "has names that are not text"),
    ],
)
def test_what_is_refused(spaces: object, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidSettings, match=why):
        Settings(spaces=spaces)
    if isinstance(spaces, str):
        monkeypatch.setenv("REACTIONS_SPACES", spaces)
        with pytest.raises(InvalidSettings, match=why):
            Settings()


def test_a_variable_of_no_space_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REACTIONS_SPACE_COMENT_HOT_RATE", "7")
    with pytest.raises(InvalidSettings, match="COMENT_HOT_RATE is set, but REACTIONS_SPACES names"):
        Settings()
