"""The settings: where each field comes from, what they refuse, and that they show no secret."""

from __future__ import annotations

import copy
import os
import pickle
import traceback
from collections.abc import Callable, Mapping
from typing import Any, cast
from unittest.mock import patch

import annotated_types
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from reactions.core.errors import InvalidSettings, ReactionsError
from reactions.core.settings import Settings
from reactions.core.urls import DATABASE_DRIVER
from tests.core.strategies import TYPES, relaxed

pytestmark = pytest.mark.usefixtures("bare_environment")

FIELDS = Settings.model_fields
NUMBERS = [name for name, field in FIELDS.items() if field.annotation in (int, float)]

# Field -> a text from the environment, and the value that it becomes; no value is a default.
READ: Mapping[str, tuple[str, object]] = {
    "redis_url": ("rediss://:pw@cache:6390/3", SecretStr("rediss://:pw@cache:6390/3")),
    "redis_cluster": ("true", True),
    "database_url": ("postgres://u:pw@db/x", SecretStr(f"{DATABASE_DRIVER}u:pw@db/x")),
    "database_schema": ("likes", "likes"),
    "replica_url": ("postgres://u:pw@standby/x", SecretStr(f"{DATABASE_DRIVER}u:pw@standby/x")),
    "broker_url": ("amqp://u:pw@mq//", SecretStr("amqp://u:pw@mq//")),
    "reaction_types": ("up,down=9", {"up": 1, "down": 9}),
    "spaces": ("post, comment", {"comment": {}}),
    "redis_timeout_s": ("0.25", 0.25),
    "replica_timeout_s": ("0.1", 0.1),
    "database_timeout_s": ("7", 7.0),
    "database_connections": ("3", 3),
    "cache_ttl_cold_s": ("60", 60),
    "cache_ttl_regular_s": ("61", 61),
    "cache_ttl_hot_s": ("62", 62),
    "cache_ttl_viral_s": ("63", 63),
    "cache_ttl_user_s": ("64", 64),
    "cache_ttl_jitter": ("0", 0.0),
    "viral_threshold": ("10", 10),
    "viral_hysteresis": ("0.5", 0.5),
    "viral_watch": ("0.2", 0.2),
    "viral_window_s": ("60", 60.0),
    "viral_horizon_s": ("0", 0.0),
    "hot_rate": ("2.5", 2.5),
    "tombstone_days": ("1", 1),
    "local_cache_s": ("1", 1.0),
    "cursor_secret": ("s3cret-s3cret-s3cret", SecretStr("s3cret-s3cret-s3cret")),
    "read_timeout_s": ("2", 2.0),
    "batch_rows": ("1", 1),
    "batch_posts": ("1", 1),
    "lease_s": ("1.5", 1.5),
    "wake_interval_s": ("0", 0.0),
    "wake_patience_s": ("1", 1.0),
    "retry_base_s": ("0.5", 0.5),
    "retry_cap_s": ("2", 2.0),
    "drain_budget_s": ("3", 3.0),
    "sweep_interval_s": ("0.1", 0.1),
    "batch_limit": ("2", 2),
    "log_json": ("true", True),
    "web_authenticator": ("shop.auth:user_of", "shop.auth:user_of"),
    "web_origins": (
        "https://a.example, http://[::1]:8080",
        ("https://a.example", "http://[::1]:8080"),
    ),
    "web_writes_per_s": ("0.5", 0.5),
    "web_burst": ("3", 3),
    "web_threads": ("5", 5),
    "web_streams": ("4", 4),
}

# Characters that no message of the library contains.
PASSWORD = st.text("QXZ789", min_size=8, max_size=40)


def bounds(name: str) -> tuple[float, float]:
    """The lower and the upper bound of a field, whether the bound itself is allowed or not."""
    low = high = None
    for rule in FIELDS[name].metadata:
        match rule:
            case annotated_types.Ge(ge=limit) | annotated_types.Gt(gt=limit):
                low = limit
            case annotated_types.Le(le=limit):
                high = limit
    assert isinstance(low, int | float), f"{name} has no lower bound"
    assert isinstance(high, int | float), f"{name} has no upper bound"
    return low, high


def numbers(name: str) -> st.SearchStrategy[float]:
    """Every number that a field accepts."""
    low, high = bounds(name)
    if FIELDS[name].annotation is int:
        return st.integers(int(low), int(high))
    open_end = any(isinstance(rule, annotated_types.Gt) for rule in FIELDS[name].metadata)
    return st.floats(low, high, exclude_min=open_end)


ALL_VALUES = st.fixed_dictionaries(
    {
        "redis_url": PASSWORD.map(lambda p: f"redis://:{p}@cache/0"),
        "redis_cluster": st.booleans(),
        "database_url": PASSWORD.map(lambda p: f"postgresql://u:{p}@db/x"),
        "replica_url": PASSWORD.map(lambda p: f"postgresql://u:{p}@standby/x"),
        "database_schema": st.from_regex(r"[a-z_][a-z0-9]{0,62}", fullmatch=True),
        "cursor_secret": st.text("QXZ789", min_size=16).map(SecretStr),
        "broker_url": PASSWORD.map(lambda p: f"amqps://u:{p}@s/0"),
        "reaction_types": TYPES,
        "web_authenticator": st.from_regex(r"[a-z_.]{1,9}:[a-z]{1,9}", fullmatch=True).filter(
            lambda name: name[0] != "."
        ),
        **{name: numbers(name) for name in NUMBERS},
        "redis_timeout_s": st.floats(0.002, 60),
        "replica_timeout_s": st.floats(0.001, 0.0019),  # less than any redis_timeout_s
    }
)


# -- defaults and the environment ------------------------------------------------------------------


def test_defaults() -> None:
    settings = Settings()
    assert settings.cache_ttl_viral_s == settings.cache_ttl_cold_s == 24 * 3600
    assert settings.viral_threshold == 10_000
    assert list(settings.reaction_types) == ["like", "love", "laugh", "wow", "sad", "angry"]
    assert list(settings.reaction_types.values()) == [1, 2, 3, 4, 5, 6]
    assert settings == Settings.from_env()


def test_every_field_has_a_description() -> None:
    assert all(field.description for field in FIELDS.values())


@pytest.mark.parametrize("name", FIELDS)
def test_each_field_is_read_from_its_variable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text, expected = READ[name]
    assert getattr(Settings(), name) != expected
    monkeypatch.setenv(f"REACTIONS_{name.upper()}", text)
    settings = Settings.from_env()
    assert getattr(settings, name) == expected
    assert all(getattr(settings, o) == getattr(Settings(), o) for o in FIELDS if o != name)


def test_a_keyword_takes_precedence_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REACTIONS_BATCH_ROWS", "7")
    assert Settings(batch_rows=8).batch_rows == 8


@relaxed
@given(ALL_VALUES)
def test_environment_round_trips(values: dict[str, Any]) -> None:
    settings = Settings(**values)
    variables = settings.environment()
    assert set(variables) == {f"REACTIONS_{name.upper()}" for name in FIELDS}
    with patch.dict(os.environ, variables):
        assert Settings.from_env() == settings


# -- refused values --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FIELDS)
def test_a_bad_value_names_its_field_and_variable(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"REACTIONS_{name.upper()}", "no such\x01 thing")
    with pytest.raises(InvalidSettings, match=rf"\b{name}: ") as caught:
        Settings.from_env()
    assert "REACTIONS_<NAME>" in str(caught.value)


def test_every_bad_value_is_named_at_once() -> None:
    with pytest.raises(InvalidSettings) as caught:
        Settings(batch_rows=0, lease_s=-1, redis_url="http://cache")
    for name in ("batch_rows", "lease_s", "redis_url"):
        assert f"{name}: " in str(caught.value)


@pytest.mark.parametrize("name", NUMBERS)
def test_bounds(name: str) -> None:
    low, high = bounds(name)
    assert getattr(Settings(**{name: high}), name) == high
    below = low - 1 if FIELDS[name].annotation is int else low - 1e-9
    for value in (below, high + 1, float("inf"), float("-inf"), float("nan")):
        with pytest.raises(InvalidSettings, match=rf"^{name}: "):
            Settings(**{name: value})


@relaxed
@given(st.sampled_from(NUMBERS).flatmap(lambda name: st.tuples(st.just(name), numbers(name))))
def test_a_number_within_the_bounds_is_accepted(item: tuple[str, float]) -> None:
    name, value = item
    assert getattr(Settings(**{name: value}), name) == value


def test_the_wait_for_replicas_is_shorter_than_that_for_redis() -> None:
    assert Settings(redis_timeout_s=0.1).replica_wait_s == pytest.approx(0.06)
    assert Settings(redis_timeout_s=0.1, replica_timeout_s=0.09).replica_wait_s == 0.09
    for value in (0, 0.1, 0.2):
        with pytest.raises(InvalidSettings, match=r"^replica_timeout_s: "):
            Settings(redis_timeout_s=0.1, replica_timeout_s=value)


def test_an_unknown_keyword_is_refused() -> None:
    with pytest.raises(InvalidSettings, match="redis_ulr: Extra inputs are not permitted"):
        Settings(redis_ulr="redis://cache")


def test_the_error_is_a_reactions_error_and_a_value_error() -> None:
    with pytest.raises(ReactionsError) as caught:
        Settings(batch_rows=0)
    assert isinstance(caught.value, ValueError)


# -- frozen ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FIELDS)
def test_frozen(name: str) -> None:
    settings = Settings()
    with pytest.raises(ValidationError, match="frozen"):
        setattr(settings, name, getattr(settings, name))


def test_the_types_are_frozen_too() -> None:
    mine = {"like": 1}
    settings = Settings(reaction_types=mine)
    mine["love"] = 2
    assert settings.reaction_types == {"like": 1}
    with pytest.raises(TypeError):
        settings.reaction_types["love"] = 2  # type: ignore[index] # that is the point


# -- secrets ---------------------------------------------------------------------------------------


@relaxed
@given(PASSWORD)
def test_no_secret_in_what_is_printed(password: str) -> None:
    settings = Settings(
        redis_url=f"redis://:{password}@cache/0",
        broker_url=f"amqp://u:{password}@mq//",
        database_url=f"postgresql://u:{password}@db/x",
    )
    shown = (str(settings), repr(settings), f"{settings!r:>9}")
    assert not any(password in text for text in shown)


@relaxed
@given(
    PASSWORD,
    st.sampled_from(["redis_url", "broker_url", "database_url"]),
    st.sampled_from(["http://u:{}@h", "u:{}@h", "{}", "mysql://u:{}@h/x"]),
    st.sampled_from([{}, {"batch_rows": 0}, {"unknown": 1}, {"reaction_types": ""}]),
)
def test_no_secret_in_an_error(
    password: str, name: str, template: str, more: dict[str, object]
) -> None:
    url = template.format(password)
    with (
        patch.dict(os.environ, {f"REACTIONS_{name.upper()}": url}),
        pytest.raises(InvalidSettings) as caught,
    ):
        Settings(**more)
    with pytest.raises(InvalidSettings) as by_keyword:
        Settings(**{name: url}, **more)
    for error in (caught.value, by_keyword.value):
        assert password not in str(error)
        assert password not in "".join(traceback.TracebackException.from_exception(error).format())


def _pickled(settings: Settings) -> Settings:
    return cast("Settings", pickle.loads(pickle.dumps(settings)))  # noqa: S301 - our own bytes


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, _pickled])
def test_a_copy_is_the_same(copied: Callable[[Settings], Settings]) -> None:
    settings = Settings(redis_url="redis://:pw@h:1/0", reaction_types="like=3,wow=9", lease_s=2.5)
    assert copied(settings) == settings
