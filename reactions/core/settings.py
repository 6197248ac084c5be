"""The configuration: frozen, validated, and the only reader of the environment.

Every field is read from ``REACTIONS_<FIELD>`` (upper case), for example ``REACTIONS_REDIS_URL``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Self

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from reactions.core.constants import MAX_CODE, REMOVE
from reactions.core.errors import InvalidSettings, short
from reactions.core.type_names import DEFAULT_TYPES, TYPE_NAME, _parse_types
from reactions.core.urls import (
    BROKER_SCHEMES,
    DATABASE_DRIVER,
    DATABASE_SCHEMES,
    REDIS_SCHEMES,
    _check_scheme,
)

REPLICA_SHARE = 0.6
"""Of redis_timeout_s, that a call waits for replicas where replica_timeout_s is not set."""

MAX_MESSAGE = 300
"""Characters of what is said of one field: what is refused may be of any length."""


class Settings(BaseSettings):
    """Where the stores are and how the engine behaves. Frozen; URLs do not show in a repr."""

    model_config = SettingsConfigDict(
        env_prefix="REACTIONS_",
        frozen=True,
        extra="forbid",
        validate_default=True,
        hide_input_in_errors=True,  # it may be a URL with a password
    )

    redis_url: SecretStr = Field(
        SecretStr("redis://localhost:6379/0"),
        description="Redis or Valkey that holds reactions: redis://, rediss:// or unix://.",
    )
    redis_cluster: bool = Field(
        False, description="True when redis_url names a node of a Redis Cluster."
    )
    database_url: SecretStr = Field(
        SecretStr("postgresql://localhost/reactions"), description="PostgreSQL 15 to 18."
    )
    broker_url: SecretStr = Field(
        SecretStr("redis://localhost:6379/1"),
        description="Celery's broker: one Redis, or RabbitMQ (kombu has no cluster broker).",
    )
    reaction_types: Annotated[Mapping[str, int], NoDecode] = Field(
        default_factory=lambda: _parse_types(DEFAULT_TYPES),
        description=(
            "Names in the order of their codes, as `like,love,wow`; or with codes, as "
            f"`like=1,wow=4`. Codes are 1 to {MAX_CODE} and stand in every row: never reuse one."
        ),
    )
    redis_timeout_s: float = Field(
        0.5, gt=0, le=60, description="Seconds to wait for Redis: to connect, and for an answer."
    )
    replica_timeout_s: float | None = Field(
        None,
        gt=0,
        lt=60,
        description="Seconds that react(..., replicas=n) waits for replicas; less than"
        " redis_timeout_s. Without it, three fifths of that.",
    )
    database_timeout_s: float = Field(
        4.0, gt=0, le=300, description="Seconds for a connection, and for one SQL statement."
    )
    cache_ttl_cold_s: int = Field(
        86_400,
        ge=1,
        le=30 * 86_400,
        description="Life (s) of the cached counts of a post that is seldom used.",
    )
    cache_ttl_regular_s: int = Field(
        86_400, ge=1, le=30 * 86_400, description="Life of what is cached of a regular post."
    )
    cache_ttl_hot_s: int = Field(
        86_400,
        ge=1,
        le=30 * 86_400,
        description="Life of what is cached of a regular post that is reacted on often.",
    )
    cache_ttl_viral_s: int = Field(
        86_400, ge=1, le=30 * 86_400, description="Life of what is cached of a viral post."
    )
    cache_ttl_user_s: int = Field(
        86_400, ge=1, le=30 * 86_400, description="Life of the cached reactions of a user."
    )
    cache_ttl_jitter: float = Field(
        0.1, ge=0, le=0.5, description="Share of the life that is random, against mass expiry."
    )
    viral_threshold: int = Field(
        10_000, ge=10, le=100_000, description="Reactions from which a post is viral."
    )
    viral_hysteresis: float = Field(
        0.8,
        ge=0.1,
        le=1,
        description="Share of the threshold below which a viral post is regular again.",
    )
    viral_watch: float = Field(
        0.1,
        ge=0.001,
        le=1,
        description="Share of the threshold from which the growth of a post is watched.",
    )
    viral_window_s: float = Field(
        600.0,
        gt=0,
        le=86_400,
        description="Seconds over which that growth is weighted, exponentially.",
    )
    viral_horizon_s: float = Field(
        1_800.0,
        ge=0,
        le=86_400,
        description="A post that will be viral so soon, as it grows, is treated so; 0: none.",
    )
    hot_rate: float = Field(
        5.0, gt=0, le=1e6, description="Reactions a second from which a regular post is hot."
    )
    local_cache_s: float = Field(
        0.0,
        ge=0,
        le=60,
        description="How long a process may show a viral post's counts again unasked; 0: never.",
    )
    cursor_secret: SecretStr | None = Field(
        None,
        min_length=16,
        description="Signs the cursors of pages; the same in every web process. Without it, a hash"
        " of database_url does.",
    )
    batch_rows: int = Field(
        2_000, ge=1, le=50_000, description="Most rows a drain writes in one transaction."
    )
    batch_posts: int = Field(
        250, ge=1, le=5_000, description="Most posts a claim takes from one shard."
    )
    lease_s: float = Field(
        5.0, gt=0.05, le=300, description="How long a drain owns a shard without a sign of life."
    )
    wake_interval_s: float = Field(
        0.15, ge=0, le=10, description="How long a process gathers wake-ups before it publishes."
    )
    wake_patience_s: float = Field(
        10.0, gt=0, le=3600, description="Age from which an unanswered wake-up is asked for anew."
    )
    retry_base_s: float = Field(
        1.0, gt=0, le=60, description="First delay of a failed drain; doubles each time, jittered."
    )
    retry_cap_s: float = Field(
        10.0, gt=0, le=600, description="Longest delay between two tries of a failed drain."
    )
    read_timeout_s: float = Field(
        1.0, gt=0, le=60, description="Seconds that a read of the web tier waits for PostgreSQL."
    )
    tombstone_days: int = Field(
        30,
        ge=1,
        le=3_650,
        description="Days after which the row of a reaction that was taken away may be deleted.",
    )
    drain_budget_s: float = Field(
        10.0, gt=0, le=600, description="Seconds of work after which a drain hands on the rest."
    )
    sweep_interval_s: float = Field(
        2.0, ge=0.1, le=60, description="Beat's interval to look for shards no wake-up announced."
    )
    batch_limit: int = Field(
        10_000, ge=1, le=100_000, description="Most items that one react_many takes."
    )
    web_authenticator: str | None = Field(
        None,
        pattern=r"\A[A-Za-z_][\w.]*:[A-Za-z_][\w.]*\z",
        description="`module:function` that tells the web service who asks: a FastAPI dependency"
        " that returns a user id, or None for nobody.",
    )
    web_writes_per_s: float = Field(
        5.0, ge=0.001, le=1e6, description="Writes a second that the web service takes from a user."
    )
    web_burst: int = Field(
        20, ge=1, le=10_000, description="Writes that a user may make at once, after a rest."
    )
    web_streams: int = Field(
        1_000, ge=1, le=100_000, description="Most open streams of one process of the web service."
    )

    log_json: bool = Field(False, description="Workers and beat log JSON, one object a line.")

    def __init__(self, **values: Any) -> None:  # noqa: ANN401 - pydantic takes any and checks it
        try:
            super().__init__(**values)
        except ValidationError as error:
            problems = "; ".join(
                f"{short('.'.join(map(str, problem['loc'])))}: {short(problem['msg'], MAX_MESSAGE)}"
                for problem in error.errors(include_input=False, include_url=False)
            )
            raise InvalidSettings(
                f"{problems}. Set it as a keyword of Settings or as REACTIONS_<NAME>."
            ) from None

    def __reduce__(self) -> tuple[Any, ...]:
        """Picklable: as the environment that makes the same settings."""
        return _from_environment, (self.environment(),)

    def __deepcopy__(self, memo: object = None) -> Self:
        """Itself: nothing of it can change."""
        return self

    @classmethod
    def from_env(cls) -> Self:
        """Settings from the environment.

        Raises:
            InvalidSettings: a variable has a value that its field does not take.
        """
        return cls()

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, value: SecretStr) -> SecretStr:
        return _check_scheme(value, REDIS_SCHEMES)

    @field_validator("replica_timeout_s")
    @classmethod
    def _replicas(cls, value: float | None, info: ValidationInfo) -> float | None:
        longest = info.data.get("redis_timeout_s")
        if value is not None and longest is not None and value >= longest:
            raise ValueError(f"must be less than redis_timeout_s, {longest}")
        return value

    @field_validator("broker_url")
    @classmethod
    def _broker(cls, value: SecretStr) -> SecretStr:
        return _check_scheme(value, BROKER_SCHEMES)

    @field_validator("database_url")
    @classmethod
    def _database(cls, value: SecretStr) -> SecretStr:
        rest = _check_scheme(value, DATABASE_SCHEMES).get_secret_value().partition("://")[2]
        return SecretStr(DATABASE_DRIVER + rest)

    @field_validator("reaction_types", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return _parse_types(value)
        # No subclass: it may go on for ever.
        if isinstance(value, list | tuple) and type(value) in (list, tuple):
            if not all(type(name) is str for name in value):
                raise ValueError("has names that are no text")
            return _parse_types(",".join(value))
        return value

    @field_validator("reaction_types")
    @classmethod
    def _types(cls, value: Mapping[str, int]) -> Mapping[str, int]:
        if not value:
            raise ValueError("names no type")
        for name, code in value.items():
            if name == REMOVE:
                raise ValueError(f"{REMOVE!r} is what a trace calls the end of a reaction")
            if not TYPE_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is not a name of 1 to 32 of A-Z a-z 0-9 _ + -")
            if not 1 <= code <= MAX_CODE:
                raise ValueError(f"{name} has code {code}, which is not 1 to {MAX_CODE}")
        if len(set(value.values())) != len(value):
            raise ValueError("gives one code to two types")
        return MappingProxyType(dict(value))

    @property
    def replica_wait_s(self) -> float:
        """How long a call waits for replicas."""
        if self.replica_timeout_s is None:
            return self.redis_timeout_s * REPLICA_SHARE
        return self.replica_timeout_s

    def environment(self) -> dict[str, str]:
        """These settings as environment variables, for a process that is to share them."""
        values: dict[str, str] = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, SecretStr):
                value = value.get_secret_value()
            elif isinstance(value, Mapping):
                value = ",".join(f"{key}={code}" for key, code in value.items())
            values[f"REACTIONS_{name.upper()}"] = (
                value if isinstance(value, str) else json.dumps(value)
            )
        return values


def _from_environment(environment: Mapping[str, str]) -> Settings:
    return Settings(
        **{name: environment.get(f"REACTIONS_{name.upper()}") for name in Settings.model_fields}
    )
