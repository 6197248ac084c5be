"""Checks of the servers' URLs."""

from __future__ import annotations

import re

from pydantic import SecretStr

REDIS_SCHEMES = ("redis://", "rediss://", "unix://")


BROKER_SCHEMES = (*REDIS_SCHEMES, "amqp://", "amqps://")


SERVER = re.compile(r"([^@:]*(:[^@:]*)?@)?(\[[^\]@]*\]|[^:@\[\]]*)(:[0-9]*)?")
"""Of a URL, between its scheme and its path: user:password@host:port, each quoted."""


DATABASE_DRIVER = "postgresql+psycopg2://"


DATABASE_SCHEMES = ("postgres://", "postgresql://", DATABASE_DRIVER)


def _check_scheme(value: SecretStr, schemes: tuple[str, ...]) -> SecretStr:
    url = value.get_secret_value()
    if not url.startswith(schemes):
        raise ValueError(f"must be a URL that starts with one of {', '.join(schemes)}")
    for one in re.split(r";(?=[a-z]+://)", url):  # kombu takes several
        _check_server(one)
    return value


def _check_server(url: str) -> None:
    """Refuse what would be cut in the middle of a password: the rest would be taken for a host,
    and shown in errors."""
    scheme, _, rest = url.partition("://")
    server, path = re.split("(?=[/?#])", rest + "/", maxsplit=1)
    unclear = "@" in path.partition("?")[0] and scheme != "unix"
    if unclear or not SERVER.fullmatch(server):
        raise ValueError(
            "has a port that is no number, or a user or password with one of : / ? # @ in it: "
            "write that as urllib.parse.quote(password, safe='') does"
        )
