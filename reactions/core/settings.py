"""The settings: frozen, validated, and the only reader of the environment.

A field comes from the variable ``REACTIONS_<FIELD>`` in upper case, such as REACTIONS_REDIS_URL.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Self

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from reactions.core.constants import MAX_CODE
from reactions.core.errors import InvalidSettings, short
from reactions.core.origins import Origins
from reactions.core.schema_name import SchemaName
from reactions.core.settings_text import values_of, written
from reactions.core.spaces import SpaceSettings
from reactions.core.type_names import DEFAULT_TYPES, check_types, parse_types, read_types
from reactions.core.urls import BrokerUrl, DatabaseUrl, RedisUrl, names_several

REPLICA_SHARE = 0.6
"""Share of redis_timeout_s that a call waits for replicas, unless replica_timeout_s is set."""

MAX_MESSAGE = 300
"""Characters of the message for one field: the refused value may be of any length."""


class Settings(SpaceSettings):
    """Where the stores are and how the engine behaves. Frozen; a repr does not show the URLs."""

    model_config = SettingsConfigDict(
        env_prefix="REACTIONS_",
        frozen=True,
        extra="forbid",
        validate_default=True,
        hide_input_in_errors=True,  # it may be a URL with a password
    )

    redis_url: RedisUrl = Field(
        SecretStr("redis://localhost:6379/0"),
        description="What holds the reactions: redis://, rediss://, unix://, redis+sentinel://.",
    )
    redis_cluster: bool = Field(
        False,
        description="True if redis_url names a node of a Redis Cluster, or several of them, as in"
        " `redis://h1:7000,h2:7000/0`: one that answers is enough to start.",
    )
    database_url: DatabaseUrl = Field(
        SecretStr("postgresql://localhost/reactions"),
        description="The PostgreSQL database, version 15 to 18, as a URL of libpq.",
    )
    database_schema: SchemaName = Field(
        "reactions",
        description="The PostgreSQL schema that holds every table of this engine, alembic_version"
        " included, so that they can share a database with the application's.",
    )
    replica_url: DatabaseUrl | None = Field(
        None, description="A standby of that database, to answer lists. Unset: none."
    )
    broker_url: BrokerUrl = Field(
        SecretStr("redis://localhost:6379/1"),
        description="Celery's broker: one Redis, Sentinels that know one, or RabbitMQ.",
    )
    reaction_types: Annotated[Mapping[str, int], NoDecode] = Field(
        default_factory=lambda: parse_types(DEFAULT_TYPES),
        description=(
            "The types that `reactions migrate` registers, and that this process expects: names in"
            " the order of their codes, such as `like,love,wow`, or with codes, such as"
            f" `like=1,wow=4`, or JSON. Codes are 1 to {MAX_CODE}. Unset: the registry of the"
            " database alone says which types there are."
        ),
    )
    redis_timeout_s: float = Field(
        0.5,
        gt=0,
        le=60,
        description="Seconds to wait for Redis to connect and to answer. A call that gets no answer"
        " over a connection that was open tries once more over a new one.",
    )
    replica_timeout_s: float | None = Field(
        None,
        gt=0,
        lt=60,
        description="Seconds that react(..., replicas=n) waits for replicas; less than"
        " redis_timeout_s. Unset: three fifths of redis_timeout_s.",
    )
    database_timeout_s: float = Field(
        4.0, gt=0, le=300, description="Seconds to wait for a connection, or a statement."
    )
    database_connections: int = Field(
        15, ge=2, le=1_000, description="Connections to PostgreSQL that a process opens at most."
    )
    cache_ttl_cold_s: int = Field(
        86_400, ge=1, le=30 * 86_400, description="TTL (s) of the counts of a seldom used post."
    )
    cache_ttl_regular_s: int = Field(
        86_400, ge=1, le=30 * 86_400, description="TTL (s) of the cached data of a regular post."
    )
    cache_ttl_hot_s: int = Field(
        86_400, ge=1, le=30 * 86_400, description="TTL (s) of a hot post: regular, many reactions."
    )
    cache_ttl_viral_s: int = Field(
        86_400, ge=1, le=30 * 86_400, description="TTL (s) of the cached data of a viral post."
    )
    cache_ttl_user_s: int = Field(
        86_400, ge=1, le=30 * 86_400, description="TTL (s) of the cached reactions of a user."
    )
    cache_ttl_jitter: float = Field(
        0.1, ge=0, le=0.5, description="Random share of each TTL, to spread expiry."
    )
    viral_threshold: int = Field(
        10_000, ge=10, le=100_000, description="A post with at least this many reactions is viral."
    )
    viral_hysteresis: float = Field(
        0.8,
        ge=0.1,
        le=1,
        description="A viral post becomes regular below this share of the threshold.",
    )
    viral_watch: float = Field(
        0.1,
        ge=0.001,
        le=1,
        description="The growth of a post is measured from this share of the threshold on.",
    )
    viral_window_s: float = Field(
        600.0,
        gt=0,
        le=86_400,
        description="Time constant (s) of the exponential average of that growth.",
    )
    viral_horizon_s: float = Field(
        1_800.0,
        ge=0,
        le=86_400,
        description="A post that grows so fast that it will be viral within this many seconds is"
        " rising: it is cached like a viral one. 0 turns this off.",
    )
    hot_rate: float = Field(
        5.0, gt=0, le=1e6, description="Reactions a second that make a regular post hot."
    )
    local_cache_s: float = Field(
        0.0,
        ge=0,
        le=60,
        description="Seconds for which a process may reuse the counts of a viral post; 0: never.",
    )
    cursor_secret: SecretStr | None = Field(
        None,
        min_length=16,
        description="Signs the cursors of pages; the same in every web process. Unset: a hash of"
        " database_url.",
    )
    batch_rows: int = Field(
        2_000, ge=1, le=50_000, description="Most rows that a drain writes in one transaction."
    )
    batch_posts: int = Field(
        250, ge=1, le=5_000, description="Most posts that a drain claims from one shard at once."
    )
    lease_s: float = Field(
        5.0, gt=0.05, le=300, description="Seconds until the lease of a silent drain expires."
    )
    wake_interval_s: float = Field(
        0.15,
        ge=0,
        le=10,
        description="Seconds that a process collects wake-ups before publishing; up to four times"
        " as long while little happens.",
    )
    wake_patience_s: float = Field(
        10.0, gt=0, le=3600, description="Age (s) at which an unanswered wake-up is sent again."
    )
    retry_base_s: float = Field(
        1.0, gt=0, le=60, description="Delay (s) of a drain's first retry; it doubles."
    )
    retry_cap_s: float = Field(
        10.0, gt=0, le=600, description="Longest delay (s) between two tries of a failed drain."
    )
    read_timeout_s: float = Field(
        1.0, gt=0, le=60, description="Seconds that a read in a web process waits for PostgreSQL."
    )
    tombstone_days: int = Field(
        30, ge=1, le=3_650, description="Days after which the row of a removed reaction may go."
    )
    drain_budget_s: float = Field(
        10.0, gt=0, le=600, description="Seconds after which a drain leaves the rest."
    )
    sweep_interval_s: float = Field(
        2.0, ge=0.1, le=60, description="Interval (s) of the sweep for missed wake-ups."
    )
    batch_limit: int = Field(
        10_000, ge=1, le=100_000, description="Most items in one call of react_many."
    )
    web_authenticator: str | None = Field(
        None,
        pattern=r"\A[A-Za-z_][\w.]*:[A-Za-z_][\w.]*\z",
        description="`module:function` that tells the web service who sent a request: a FastAPI"
        " dependency that returns a user id, or None for an anonymous request.",
    )
    web_writes_per_s: float = Field(
        5.0, ge=0.001, le=1e6, description="Writes a second that one user may send."
    )
    web_burst: int = Field(
        20, ge=1, le=10_000, description="Writes that one user may send at once after a pause."
    )
    web_threads: int = Field(
        40,
        ge=1,
        le=1_000,
        description="Threads in a process of the web service: for authenticators that are not"
        " `async`, and on a Redis Cluster for every request.",
    )
    web_streams: int = Field(
        1_000, ge=1, le=100_000, description="Most open streams in one process of the web service."
    )
    web_origins: Origins = Field(
        (),
        description="Other origins whose pages may use the web service with its users' cookies,"
        " such as `https://shop.example,https://m.shop.example`. Unset: none.",
    )
    log_json: bool = Field(False, description="True: workers and beat log one JSON object a line.")

    def __init__(self, **values: Any) -> None:  # noqa: ANN401 - pydantic checks them
        try:
            super().__init__(**values)
        except ValidationError as error:
            problems = "; ".join(
                f"{short('.'.join(map(str, problem['loc'])))}: {short(problem['msg'], MAX_MESSAGE)}"
                for problem in error.errors(include_input=False, include_url=False)
            )
            raise InvalidSettings(
                f"{problems}. Set it as a keyword of Settings, or as REACTIONS_<NAME>."
            ) from None
        self._own = {space: self._values_of(space) for space in self.spaces}

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the environment variables that make the same settings, and the space."""
        return _from_environment, (self.environment(), self._space)

    def __deepcopy__(self, memo: object = None) -> Self:
        """Return these settings themselves: they cannot change."""
        return self

    @classmethod
    def from_env(cls) -> Self:
        """Read the settings from the environment.

        Raises:
            InvalidSettings: a variable has a value that its field refuses.
        """
        return cls()

    @field_validator("redis_cluster")
    @classmethod
    def _seeds(cls, value: bool, info: ValidationInfo) -> bool:
        url = info.data.get("redis_url")
        if url is not None and names_several(url) and not value:
            raise ValueError("must be true: redis_url names several hosts, the nodes of a cluster")
        return value

    @field_validator("replica_timeout_s")
    @classmethod
    def _replicas(cls, value: float | None, info: ValidationInfo) -> float | None:
        longest = info.data.get("redis_timeout_s")
        if value is not None and longest is not None and value >= longest:
            raise ValueError(f"must be less than redis_timeout_s, {longest}")
        return value

    @field_validator("reaction_types", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return read_types(value)

    @field_validator("reaction_types")
    @classmethod
    def _types(cls, value: Mapping[str, int]) -> Mapping[str, int]:
        check_types(value)
        return MappingProxyType(dict(value))

    @property
    def replica_wait_s(self) -> float:
        """Seconds that a call waits for replicas."""
        if self.replica_timeout_s is None:
            return self.redis_timeout_s * REPLICA_SHARE
        return self.replica_timeout_s

    def environment(self) -> dict[str, str]:
        """Return the environment variables that give another process the same settings."""
        plain = self._default or self  # it names the spaces
        return written(plain, leave_out=() if plain.names_types else ("reaction_types",))


def _from_environment(environment: Mapping[str, str], space: str) -> Settings:
    made = Settings(**values_of(environment, Settings.model_fields))
    if "REACTIONS_REACTION_TYPES" not in environment:
        made.model_fields_set.discard("reaction_types")
    return made.of_space(space)
