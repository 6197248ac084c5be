"""Connections to the primary that Sentinels name: each new connection asks them for it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from redis import Redis, connection
from redis.backoff import NoBackoff
from redis.connection import Connection, SSLConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.retry import Retry

from reactions.core.sentinel_url import SentinelUrl, is_sentinel, parse_sentinel
from reactions.redis.connection_pool import Pool

DEFAULT_WAIT_S = 0.5

_parse_url: Any = connection.parse_url  # redis-py has no annotations here


class Sentinels:
    """The Sentinels of one service. The one that answered last is asked first.

    Attributes:
        clients: host and port -> a client of that Sentinel, in the order of the URL.
    """

    def __init__(self, url: SentinelUrl, wait_s: float) -> None:
        """Make their clients, which connect when they are asked.

        Args:
            wait_s: how long to wait for all of them together, in seconds.
        """
        self.service = url.service
        options: dict[str, Any] = _parse_url(url.server)
        tls = {name: value for name, value in options.items() if name.startswith("ssl_")}
        waits = max(wait_s / len(url.sentinels), 0.05)
        self.clients = {
            f"{host}:{port}": Redis(
                host=host,
                port=port,
                username=url.username or None,
                password=url.password or None,
                socket_timeout=waits,
                socket_connect_timeout=waits,
                retry=Retry(NoBackoff(), 0),
                ssl=url.tls,
                **tls,
            )
            for host, port in url.sentinels
        }
        self._clients = list(self.clients.values())

    def close(self) -> None:
        """Close every connection to a Sentinel."""
        for client in self._clients:
            client.close()

    def primary(self) -> tuple[str, int]:
        """Return the address of the primary, as the first Sentinel that answers knows it.

        Raises:
            RedisConnectionError: none of them knows it.
        """
        failures = []
        for client in tuple(self._clients):
            ask: Any = client.execute_command
            try:
                found = ask("SENTINEL GET-MASTER-ADDR-BY-NAME", self.service)
            except RedisError as error:
                failures.append(str(error))
                self.suspect(client)
                continue
            if found:
                host, port = found
                return host.decode() if isinstance(host, bytes) else str(host), int(port)
            failures.append(f"one does not know the service {self.service}")
            self.suspect(client)
        raise RedisConnectionError(f"no Sentinel names a primary: {'; '.join(failures)}")

    def suspect(self, client: Redis | None = None) -> None:
        """Ask another one first from now on: this one, or the first one, does not help."""
        clients = self._clients
        worst = clients[0] if client is None else client
        self._clients = [each for each in clients if each is not worst] + [worst]


_Connection: Any = object
"""The class of redis-py's that the next class goes before; mypy does not look into it."""


class _Found(_Connection):  # type: ignore[misc]
    """A connection that finds its server when it connects."""

    def __init__(self, *, sentinels: Sentinels, **arguments: Any) -> None:  # noqa: ANN401 - redis-py's
        super().__init__(**arguments)
        self._sentinels = sentinels

    def _connect(self) -> Any:  # noqa: ANN401 - a socket
        self.host, self.port = self._sentinels.primary()
        try:
            return super()._connect()
        except OSError:
            self._sentinels.suspect()
            raise

    def on_connect_check_health(self, check_health: bool = True) -> None:
        """Greet the server, and leave it if it is not the primary: the Sentinel may be behind."""
        super().on_connect_check_health(check_health)
        said: Any = self.handshake_metadata
        if said is None:  # RESP2: nobody said hello
            self.send_command("HELLO", check_health=False)
            words: Sequence[Any] = self.read_response()
            said = dict(zip(words[::2], words[1::2], strict=True))
        role = said.get(b"role") or said.get("role")
        if role not in (b"master", "master"):
            self._sentinels.suspect()
            raise RedisConnectionError(
                f"READONLY: a Sentinel names {self.host}:{self.port}, which is a replica"
            )


@functools.cache
def _found(base: Any) -> Any:  # noqa: ANN401 - a class of redis-py's
    return type(f"Found{base.__name__}", (_Found, base), {})


def make_pool(url: str, **options: Any) -> Pool:  # noqa: ANN401 - redis-py's
    """Make a pool for a URL of one server, or of Sentinels.

    Args:
        options: those of redis-py; what the URL says comes before them.

    Raises:
        ValueError: an option of the URL has a value that redis-py refuses.
    """
    if not is_sentinel(url):
        return Pool.from_url(url, **options)
    parsed = parse_sentinel(url)
    known: dict[str, Any] = {**options, **_parse_url(parsed.server)}
    base = known.pop("connection_class", SSLConnection if parsed.tls else Connection)
    waits = known.get("socket_connect_timeout") or known.get("socket_timeout") or DEFAULT_WAIT_S
    hosts = ",".join(f"{host}:{port}" for host, port in parsed.sentinels)
    known["host"] = f"{parsed.service} of {hosts}"  # all connections to it are siblings
    return Pool(_found(base), sentinels=Sentinels(parsed, float(waits)), **known)
