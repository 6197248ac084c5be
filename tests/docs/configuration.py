"""Prints the reference of all settings, ``docs/configuration.md``.

To renew the page: ``python -m tests.docs.configuration > docs/configuration.md``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping

import annotated_types
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from reactions.core.settings import Settings
from reactions.core.space_settings import OF_A_SPACE

INTRODUCTION = """\
# Configuration

Every setting is an environment variable, or a keyword of `reactions.Settings`: the same name in
lower case, without `REACTIONS_`. All processes of a system need the same values. A process refuses
to start with an invalid value, and names everything that is wrong in one message, without secrets.
Settings whose names end in `_s` are in seconds. Celery's own configuration is
[celeryconfig.py](../celeryconfig.py).

A program generates this page from [reactions/core/settings.py](../reactions/core/settings.py), and
a test fails when it is out of date. To renew it:
`python -m tests.docs.configuration > docs/configuration.md`."""

SPACES = """
A *space* is one kind of thing with its own items, reaction types, caches and PostgreSQL schema
([spaces.md](spaces.md)). A space has the settings of this page, but for what it sets for itself, in
variables that begin with `REACTIONS_SPACE_` and its name:
`REACTIONS_SPACE_COMMENT_VIRAL_THRESHOLD=500`. The schema of a space is
`REACTIONS_DATABASE_SCHEMA`, `_` and its name, unless it sets another one. The space `post` has the
settings of this page. A space may set these:
"""

URLS = """
## What a URL may say

An option of a URL has its effect in every process and command, or is refused by its name. In a user
or a password, percent-encode `: / ? # @`; after the question mark, `@`.

- `REACTIONS_DATABASE_URL` has the form and the options of
  [libpq](https://www.postgresql.org/docs/current/libpq-connect.html): `sslmode`,
  `target_session_attrs`, `keepalives_idle`, several hosts
  (`postgresql://app@db1:5432,db2:5432/app?target_session_attrs=read-write`) and the like.
  `application_name` and `connect_timeout` come before the engine's own; `connect_timeout` applies
  to each host. `options` may set anything, such as `-c jit=on`, except time limits and
  `search_path`: `REACTIONS_DATABASE_TIMEOUT_S` and `REACTIONS_DATABASE_SCHEMA` set these.
- `REACTIONS_REDIS_URL` has the options of redis-py: `db`, `client_name`, `protocol`,
  `socket_timeout`, `socket_connect_timeout` (both come before `REACTIONS_REDIS_TIMEOUT_S`),
  `socket_keepalive`, `health_check_interval`, `max_connections` and those that begin with `ssl_`.
  For a cluster, it may name several nodes (`redis://app@node1:7000,node2:7000/0`), as
  [topologies.md](topologies.md#redis-cluster) says.
- `REACTIONS_BROKER_URL` has the options of kombu that have an effect. With `rediss://`, they are
  `ssl_cert_reqs` (`required`, `optional` or `none`), `ssl_ca_certs`, `ssl_certfile`, `ssl_keyfile`
  and `ssl_check_hostname`; with `amqp://` and `amqps://`, `heartbeat` and `login_method`; with
  `redis://`, none.
- Where Sentinels know the server, both have the form
  `redis+sentinel://user:password@s1:26379,s2:26379/SERVICE/0?sentinel_password=…`. User and
  password are those of the servers; `sentinel_username` and `sentinel_password` are for the
  Sentinels. `rediss+sentinel://` means TLS to the servers and to the Sentinels.

## Behind PgBouncer

PgBouncer 1.18 and later works as installed, with `pool_mode` transaction or session. The limits on
statements and locks need no parameter at start-up and no session: `SET LOCAL` goes in the message
of each transaction's first statement. It takes no round trip, and 10 to 13 µs of PostgreSQL where a
feed's counts take 80. `reactions doctor` reads in a transaction what is in force (*limits*)."""

TABLE = "| variable | default | takes | what it is |\n|---|---|---|---|"

GROUPS = {
    "Stores": r"(redis|replica|database|broker|read)_",
    "Reaction types": r"reaction_types",
    "Spaces": r"spaces",
    "Caches": r"(cache|local)_",
    "Tiers": r"(viral|hot)_",
    "From Redis to PostgreSQL": r"(batch_(rows|posts)|lease|wake|retry|drain|sweep)",
    "Calls": r"(batch_limit|cursor)",
    "Web service": r"web_",
    "Others": "",
}
"""Heading -> how the names of its fields begin. A field is in the first group that matches."""

BOUNDS: Mapping[type, tuple[str, str]] = {
    annotated_types.Ge: ("ge", "≥ {}"),
    annotated_types.Gt: ("gt", "> {}"),
    annotated_types.Le: ("le", "≤ {}"),
    annotated_types.Lt: ("lt", "< {}"),
    annotated_types.MinLen: ("min_length", "{} characters or more"),
}


def lines() -> Iterator[str]:
    """The parts of the page."""
    yield INTRODUCTION
    grouped: dict[str, list[str]] = {heading: [] for heading in GROUPS}
    for name in Settings.model_fields:
        grouped[next(h for h, begins in GROUPS.items() if re.match(begins, name))].append(name)
    for heading, names in grouped.items():
        if names:
            yield f"\n## {heading}\n\n{TABLE}"
            yield from (_row(name, Settings.model_fields[name]) for name in names)
        if heading == "Spaces":
            yield SPACES
            yield from (f"- `REACTIONS_SPACE_<NAME>_{name.upper()}`" for name in OF_A_SPACE)
    yield URLS


def _row(name: str, field: FieldInfo) -> str:
    said = (field.description or "").replace("|", "\\|")
    return f"| `REACTIONS_{name.upper()}` | {_default(field)} | {_takes(field)} | {said} |"


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None or value in ((), {}):
        return "-"
    if isinstance(value, SecretStr):  # a default is not secret
        value = value.get_secret_value()
    if isinstance(value, Mapping):
        value = ",".join(value)
    return f"`{str(value).lower() if isinstance(value, bool) else _number(value)}`"


def _takes(field: FieldInfo) -> str:
    words = list(_bounds(field.metadata))
    if bool in (field.annotation, *getattr(field.annotation, "__args__", ())):
        words.append("`true`, `false`")
    return ", ".join(words) or "-"


def _bounds(metadata: Iterable[object]) -> Iterator[str]:
    for kind, (attribute, words) in BOUNDS.items():
        for entry in metadata:
            if isinstance(entry, kind):
                yield words.format(_number(getattr(entry, attribute)))


def _number(value: object) -> str:
    """A number without thousands separators, because a variable accepts none."""
    return f"{value:.15g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.stdout.write("\n".join(lines()) + "\n")
