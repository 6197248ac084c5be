"""Settings accept each environment variable, or refuse it with the name of the field."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import SecretStr

from reactions.core.errors import InvalidSettings
from reactions.core.settings import Settings
from reactions.redis.connection import connect
from tests.hostile.values import ANYTHING, LIARS, MAKERS
from tests.support.profiles import examples

FIELDS = Settings.model_fields
SECRETS = [name for name, field in FIELDS.items() if "SecretStr" in str(field.annotation)]
ONE_OF_EACH = {str(field.annotation): name for name, field in FIELDS.items()}
"""One field of each type, because the type refuses what is neither text nor number."""

SECRET = "QXZ78QXZ78QXZ78"  # noqa: S105 - not a real secret
LONGEST = 500  # characters of a message about one field

TEXTS = [
    "", " ", "0", "-1", "1e400", "nan", "inf", "-inf", "0x10", "1_000", "\u0661", "9" * 5_000,
    "true", "null", "None", "[]", "{}", '{"a": 1}', "\n", "a\nCRITICAL forged", "\udcff\udcfe",
    "x" * 100_000, "like=1,like=2", "like=" + "9" * 5_000, "a" * 40_000 + ",b", ",,,", "=", "é=1",
    "redis://", "redis://[", f"redis://:{SECRET}/x@h:1/0", f"redis://{SECRET}@h:{SECRET}",
    f"postgresql://u:{SECRET}/@h:x/y", f"http://u:{SECRET}@h", "postgresql://[::1", "amqp://\x01",
    f"unix://{SECRET}", SECRET,
]  # fmt: skip
# An environment variable cannot contain NUL.
VALUES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)

relaxed = hypothesis_settings(deadline=None, max_examples=examples(10))


@pytest.fixture(autouse=True)
def bare_environment() -> Iterator[None]:
    rest = {name: value for name, value in os.environ.items() if not name.startswith("REACTIONS_")}
    with patch.dict(os.environ, rest, clear=True):
        yield


def check_refused(error: InvalidSettings, name: str, value: object) -> None:
    message = str(error)
    assert message.startswith(f"{name}")
    assert len(message) <= LONGEST
    assert message.isprintable()  # one line
    shown = message + "".join(traceback.TracebackException.from_exception(error).format())
    if name in SECRETS:
        assert SECRET not in shown
        assert not (isinstance(value, str) and len(value) > 20 and value in message)


@pytest.mark.parametrize("name", FIELDS)
def test_any_variable_is_accepted_or_refused_by_name(name: str) -> None:
    def attempt(text: str) -> None:
        with patch.dict(os.environ, {f"REACTIONS_{name.upper()}": text}):
            try:
                Settings.from_env()
            except InvalidSettings as error:
                check_refused(error, name, text)

    for text in TEXTS:
        attempt(text)
    relaxed(given(VALUES)(attempt))()


@pytest.mark.parametrize("name", ONE_OF_EACH.values(), ids=str)
def test_any_keyword_is_accepted_or_refused_by_name(name: str) -> None:
    @relaxed
    @given(ANYTHING)
    def fuzz(value: Any) -> None:
        with suppress(InvalidSettings):
            Settings(**{name: value})

    for make in MAKERS:
        if make in LIARS:  # pydantic reads __class__
            continue
        try:
            Settings(**{name: make()})
        except InvalidSettings as error:
            check_refused(error, name, None)
    fuzz()


@relaxed
@given(st.text(min_size=1).filter(lambda name: name not in FIELDS), ANYTHING)
@example("a\nCRITICAL forged" + "x" * 10_000, 1)
def test_an_unknown_keyword_is_refused_in_one_line(name: str, value: Any) -> None:
    with pytest.raises(InvalidSettings, match="Extra inputs are not permitted") as caught:
        Settings(**{name: value})
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) <= LONGEST


@pytest.mark.parametrize(
    "options", ["socket_timeout=QXZ78", "nonsense=QXZ78", "max_connections=QXZ78"]
)
def test_an_unknown_option_of_redis_is_refused_at_once(options: str) -> None:
    settings = Settings(redis_url=SecretStr(f"redis://127.0.0.1:1/0?{options}"))
    with pytest.raises(InvalidSettings, match="redis_url") as caught:
        connect(settings)
    shown = traceback.TracebackException.from_exception(caught.value).format()
    assert "QXZ78" not in "".join(shown)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LEASE_S", "soon"),
        ("REACTION_TYPES", "x" * 50_000),
        ("REDIS_URL", f"redis://:{SECRET}/x@h:1/0"),
        ("DATABASE_URL", f"postgresql://u:{SECRET}/x@h:1/y"),
        ("CURSOR_SECRET", SECRET),
    ],
)
def test_a_command_reports_a_bad_setting_in_one_line(name: str, value: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "reactions", "duties"],
        env={**os.environ, f"REACTIONS_{name}": value},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert ran.stderr.startswith(f"Error: {name.lower()}: ")
    assert ran.stderr.count("\n") == 1
    assert SECRET not in ran.stderr
