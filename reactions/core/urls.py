"""Checks of the URLs of Redis, the broker and PostgreSQL."""

from __future__ import annotations

import re

from pydantic import SecretStr

REDIS_SCHEMES = ("redis://", "rediss://", "unix://")

BROKER_SCHEMES = (*REDIS_SCHEMES, "amqp://", "amqps://")

DATABASE_DRIVER = "postgresql+psycopg2://"

DATABASE_SCHEMES = ("postgres://", "postgresql://", DATABASE_DRIVER)

AUTHORITY = re.compile(r"([^@:]*(:[^@:]*)?@)?(\[[^\]@]*\]|[^:@\[\]]*)(:[0-9]*)?")
"""The part of a URL between scheme and path: user:password@host:port, each percent-encoded."""


def check_url(value: SecretStr, schemes: tuple[str, ...]) -> SecretStr:
    """Return the URL, or the list of URLs separated by ``;`` that kombu accepts.

    Raises:
        ValueError: the scheme is not one of these, or the user or password is not percent-encoded.
    """
    url = value.get_secret_value()
    if not url.startswith(schemes):
        raise ValueError(f"must be a URL that starts with one of {', '.join(schemes)}")
    for one in re.split(r";(?=[a-z]+://)", url):
        _check_authority(one)
    return value


def _check_authority(url: str) -> None:
    """Refuse a URL that a parser would split inside the password.

    The parser would take the rest of the password for the host, and errors would show it.
    """
    scheme, _, rest = url.partition("://")
    authority, path = re.split("(?=[/?#])", rest + "/", maxsplit=1)
    ambiguous = "@" in path.partition("?")[0] and scheme != "unix"
    if ambiguous or not AUTHORITY.fullmatch(authority):
        raise ValueError(
            "has a port that is not a number, or a user or password that contains one of"
            " : / ? # @; encode it with urllib.parse.quote(password, safe='')"
        )
