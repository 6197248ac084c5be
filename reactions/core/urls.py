"""Checks of the URLs of Redis, the broker and PostgreSQL."""

from __future__ import annotations

import re
from typing import Annotated, TypeAlias
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, SecretStr

from reactions.core.sentinel_url import (
    SENTINEL_OPTIONS,
    SENTINEL_SCHEMES,
    is_sentinel,
    parse_sentinel,
)

REDIS_SCHEMES = ("redis://", "rediss://", "unix://", *SENTINEL_SCHEMES)
REDIS_PORT = 6379

BROKER_SCHEMES = ("redis://", "rediss://", "amqp://", "amqps://", *SENTINEL_SCHEMES)

_TLS = ("ssl_ca_certs", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname", "ssl_keyfile")
_RABBITMQ = ("heartbeat", "login_method")
BROKER_OPTIONS: dict[str, tuple[str, ...]] = {
    "redis": (),
    "rediss": _TLS,
    "sentinel": SENTINEL_OPTIONS,
    "redis+sentinel": SENTINEL_OPTIONS,
    "rediss+sentinel": (*SENTINEL_OPTIONS, *_TLS),
    "amqp": _RABBITMQ,
    "amqps": _RABBITMQ,
}
"""Options of a broker's URL that have an effect, by its scheme: kombu ignores others, or fails."""

_CERT_REQS = ("required", "optional", "none")

CLUSTER_SCHEMES = ("redis://", "rediss://")
"""The data store's may name several nodes of a Redis Cluster."""

DATABASE_DRIVER = "postgresql+psycopg2://"

DATABASE_SCHEMES = ("postgres://", "postgresql://", DATABASE_DRIVER)

_NEXT_URL = r";(?=[a-z]+://)"

_HOST = r"(\[[^\]@]*\]|[^:@\[\],]*)(:[0-9]*)?"

AUTHORITY = re.compile(rf"([^@:]*(:[^@:]*)?@)?{_HOST}(?P<more>(,{_HOST})*)")
"""The part of a URL between scheme and path: user:password@host:port, each percent-encoded. Only
libpq takes more than one host, as in ``h1:5432,h2:5433``."""


def check_url(value: SecretStr, schemes: tuple[str, ...]) -> SecretStr:
    """Return the URL, or the list of URLs separated by ``;`` that kombu accepts.

    Raises:
        ValueError: the scheme is not one of these, or the user or password is not percent-encoded.
    """
    url = value.get_secret_value()
    for one in re.split(_NEXT_URL, url):
        if not one.startswith(schemes):
            raise ValueError(f"must be a URL that starts with one of {', '.join(schemes)}")
        _check_authority(one)
    return value


def _redis_url(value: SecretStr) -> SecretStr:
    url = check_url(value, REDIS_SCHEMES).get_secret_value()
    if is_sentinel(url):
        parse_sentinel(url)
    return value


def names_several(url: SecretStr) -> bool:
    """Return whether a URL that was checked names more than one server, which is no Sentinel."""
    if is_sentinel(url.get_secret_value()):
        return False
    authority = re.split("[/?#]", url.get_secret_value().partition("://")[2], maxsplit=1)[0]
    written = AUTHORITY.fullmatch(authority)
    return bool(written and written["more"])


def _broker_url(value: SecretStr) -> SecretStr:
    """Refuse options without an effect. Some would fail later, without naming the setting."""
    url = check_url(value, BROKER_SCHEMES).get_secret_value()
    if is_sentinel(url):
        parse_sentinel(url)
    for one in re.split(_NEXT_URL, url):
        if names_several(SecretStr(one)):
            raise ValueError("names several hosts; it takes one")
        scheme = one.partition("://")[0]
        for name, given in parse_qsl(one.partition("?")[2], keep_blank_values=True):
            if name not in BROKER_OPTIONS[scheme]:
                known = ", ".join(BROKER_OPTIONS[scheme]) or "none"
                raise ValueError(
                    f"has the option {name[:64]}, which has no effect on a broker at {scheme}://;"
                    f" known options: {known}"
                )
            if not given or (name == "ssl_cert_reqs" and given not in _CERT_REQS):
                allowed = ", ".join(_CERT_REQS) if name == "ssl_cert_reqs" else "given"
                raise ValueError(f"has the option {name}, whose value must be {allowed}")
    return value


def _database_url(value: SecretStr) -> SecretStr:
    rest = check_url(value, DATABASE_SCHEMES).get_secret_value().partition("://")[2]
    return SecretStr(DATABASE_DRIVER + rest)


RedisUrl: TypeAlias = Annotated[SecretStr, AfterValidator(_redis_url)]
BrokerUrl: TypeAlias = Annotated[SecretStr, AfterValidator(_broker_url)]
DatabaseUrl: TypeAlias = Annotated[SecretStr, AfterValidator(_database_url)]


def _check_authority(url: str) -> None:
    """Refuse a URL that a parser would split inside the password.

    The parser would take the rest of the password for the host, and errors would show it.
    """
    scheme, _, rest = url.partition("://")
    authority, path = re.split("(?=[/?#])", rest + "/", maxsplit=1)
    ambiguous = "@" in path and scheme != "unix"
    written = AUTHORITY.fullmatch(authority)
    several = scheme + "://" in (*DATABASE_SCHEMES, *CLUSTER_SCHEMES, *SENTINEL_SCHEMES)
    if written and written["more"] and not several:
        raise ValueError("names several hosts; it takes one")
    if ambiguous or not written:
        raise ValueError(
            "has a port that is not a number, or a user or password that contains one of"
            " : / ? # @; encode it with urllib.parse.quote(password, safe='')"
        )


def divide(url: str) -> tuple[str, list[tuple[str, int]]]:
    """Divide a URL with several hosts: the URL with the first one, and the addresses of the others.

    The user, the password and the options hold for all of them.
    """
    before, scheme, rest = url.partition("://")
    authority, *path = re.split("(?=[/?#])", rest, maxsplit=1)
    user, at, hosts = authority.rpartition("@")
    first, *others = hosts.split(",")
    addresses = [urlsplit(f"//{other}") for other in others]
    return (
        "".join([before, scheme, user, at, first, *path]),
        [(each.hostname or "localhost", each.port or REDIS_PORT) for each in addresses],
    )
