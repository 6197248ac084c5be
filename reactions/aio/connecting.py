"""Makes connections of redis-py's asyncio client to one server, or to the primary of Sentinels."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping
from typing import Any

from redis.asyncio import connection
from redis.asyncio.connection import Connection, SSLConnection
from redis.exceptions import ConnectionError as RedisConnectionError

from reactions.core.errors import InvalidSettings
from reactions.core.sentinel_url import is_sentinel, parse_sentinel
from reactions.core.settings import Settings
from reactions.redis.connection_pool import Address, address_of
from reactions.redis.sentinel import Sentinels

_parse_url: Any = connection.parse_url  # redis-py has no annotations here

_Connection: Any = object
"""The class of redis-py's that the next class goes before; mypy does not look into it."""


class _Found(_Connection):  # type: ignore[misc]
    """A connection that finds its server when it connects."""

    def __init__(self, *, sentinels: Sentinels, **arguments: Any) -> None:  # noqa: ANN401 - redis-py's
        super().__init__(**arguments)
        self._sentinels = sentinels

    async def _connect(self) -> None:
        self.host, self.port = await asyncio.to_thread(self._sentinels.primary)
        try:
            await super()._connect()
        except (OSError, TimeoutError):
            self._sentinels.suspect()
            raise

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        """Greet the server, and leave it if it is not the primary: the Sentinel may be behind."""
        await super().on_connect_check_health(check_health)
        await self.send_command("HELLO", check_health=False)
        said: Any = await self.read_response()
        if isinstance(said, list):  # RESP2 has no maps
            said = dict(zip(said[::2], said[1::2], strict=True))
        if (said.get(b"role") or said.get("role")) not in (b"master", "master"):
            self._sentinels.suspect()
            raise RedisConnectionError(
                f"READONLY: a Sentinel names {self.host}:{self.port}, which is a replica"
            )


@functools.cache
def _found(base: Any) -> Any:  # noqa: ANN401 - a class of redis-py's
    return type(f"Found{base.__name__}", (_Found, base), {})


class Connector:
    """Makes connections, which open when they are first used.

    Attributes:
        protocol: the version of RESP that redis_url asks for; None for redis-py's own.
    """

    def __init__(self, settings: Settings, url: str) -> None:
        """
        Args:
            url: that of one server, or of Sentinels; redis_url, or one that was made of it.

        Raises:
            InvalidSettings: redis_url has an option that redis-py's asyncio client refuses.
        """
        sentinel = parse_sentinel(url) if is_sentinel(url) else None
        try:
            options: dict[str, Any] = _parse_url(sentinel.server if sentinel else url)
            options.pop("max_connections", None)  # there is one for each loop and server
            self._class: Any = options.pop("connection_class", Connection)
            wait = settings.redis_timeout_s
            options = {"socket_timeout": wait, "socket_connect_timeout": wait, **options}
            if sentinel:
                base = SSLConnection if sentinel.tls else self._class
                self._class = _found(base)
                waits = float(options["socket_connect_timeout"])
                options["sentinels"] = Sentinels(sentinel, waits)
                named = ",".join(f"{host}:{port}" for host, port in sentinel.sentinels)
                options["host"] = f"{sentinel.service} of {named}"
            self._options = options
            self._class(**options)  # fail here, not at the first command
        except (ValueError, TypeError):  # its text may contain a part of the URL, so leave it out
            raise InvalidSettings(
                "redis_url has an option whose value redis-py's asyncio client refuses"
            ) from None
        self.protocol = options.get("protocol")
        self.timeout_s = float(options["socket_timeout"] or settings.redis_timeout_s)

    def to(self, host: str, port: int) -> Callable[[], Any]:
        """Return what makes a connection to another server with the same options."""
        return functools.partial(self._class, **{**self._options, "host": host, "port": port})

    def make(self) -> Any:  # noqa: ANN401 - redis-py's connection
        """Make a connection that is not open yet."""
        return self._class(**self._options)

    @property
    def address(self) -> Address:
        """What this process thinks of the address. The synchronous client shares it."""
        return address_of(self._options)

    def address_at(self, host: str, port: int) -> Address:
        """Return the same for another server."""
        where: Mapping[str, object] = {"host": host, "port": port}
        return address_of(where)
