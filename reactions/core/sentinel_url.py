"""URLs of a Redis that Sentinels watch: which Sentinels to ask, for what, and with which users.

``redis+sentinel://user:password@s1:26379,s2:26379/SERVICE/0?sentinel_password=secret`` names the
Sentinels, the service as they know it, and the database. User and password before the ``@`` are
those of the servers; those of the Sentinels are options. With ``rediss+sentinel://``, servers and
Sentinels speak TLS.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

SENTINEL_SCHEMES = ("redis+sentinel://", "rediss+sentinel://", "sentinel://")
"""``sentinel://`` is short for ``redis+sentinel://``."""

SENTINEL_OPTIONS = ("sentinel_username", "sentinel_password")

DEFAULT_PORT = 26379


@dataclass(frozen=True)
class SentinelUrl:
    """What such a URL says.

    Attributes:
        service: the name of the primary and its replicas, as the Sentinels know it.
        sentinels: host and port of each.
        username, password: for the Sentinels; empty if they want none.
        server: a URL for redis-py, with everything but the address of the server.
    """

    service: str
    sentinels: tuple[tuple[str, int], ...]
    username: str
    password: str = field(repr=False)
    server: str = field(repr=False)

    @property
    def tls(self) -> bool:
        """Whether the servers and the Sentinels speak TLS."""
        return self.server.startswith("rediss://")

    @property
    def broker_url(self) -> str:
        """The URLs of kombu, one for each Sentinel."""
        parts = urlsplit(self.server)
        user = parts.netloc.rpartition("@")[0]
        at = f"{user}@" if user else ""
        hosts = (f"[{host}]" if ":" in host else host for host, _ in self.sentinels)
        ports = (port for _, port in self.sentinels)
        return ";".join(
            f"sentinel://{at}{host}:{port}{parts.path}"
            for host, port in zip(hosts, ports, strict=True)
        )


def is_sentinel(url: str) -> bool:
    """Return whether a URL names Sentinels."""
    return url.startswith(SENTINEL_SCHEMES)


def parse_sentinel(url: str) -> SentinelUrl:
    """Parse a URL that names Sentinels.

    Raises:
        ValueError: it names no service, or does not separate the Sentinels by commas.
    """
    scheme, _, rest = url.partition("://")
    authority, *path = re.split("(?=[/?#])", rest, maxsplit=1)
    if ";" in authority:
        raise ValueError("separates Sentinels by ; and must separate them by commas")
    user, at, hosts = authority.rpartition("@")
    parts = urlsplit("//sentinel" + "".join(path))
    service, _, database = parts.path.strip("/").partition("/")
    if not service:
        raise ValueError("names Sentinels, so it must end with the service, as in /mymaster/0")
    given = parse_qsl(parts.query, keep_blank_values=True)
    ours = {name: value for name, value in given if name in SENTINEL_OPTIONS}
    theirs = [pair for pair in given if pair[0] not in SENTINEL_OPTIONS]
    options = urlencode(theirs, quote_via=quote)
    kind = "rediss" if scheme.startswith("rediss") else "redis"
    query = f"?{options}" if options else ""
    return SentinelUrl(
        service=unquote(service),
        sentinels=tuple(map(_address, hosts.split(","))),
        username=ours.get("sentinel_username", ""),
        password=ours.get("sentinel_password", ""),
        server=f"{kind}://{user}{at}primary/{database or 0}{query}",
    )


def _address(host: str) -> tuple[str, int]:
    found: SplitResult = urlsplit(f"//{host}")
    return found.hostname or "localhost", found.port or DEFAULT_PORT
