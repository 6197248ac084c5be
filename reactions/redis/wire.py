"""Packs commands and reads replies over a connection of redis-py, without redis-py's own layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from hiredis import pack_command
from redis.exceptions import DataError, ResponseError

Argument: TypeAlias = "str | bytes | int"
Words: TypeAlias = "Sequence[Argument]"
"""The words of one command, for example ``("MEMORY", "USAGE", key)``."""

SEND_BYTES = 65_536
"""Bytes that may take redis_timeout_s to send."""


def pack(command: Words) -> bytes:
    """Return the bytes of a command.

    Raises:
        DataError: a word has a type that no command may have.
    """
    packed: Any = pack_command  # hiredis has no annotations
    try:
        found: bytes = packed(tuple(command))
    except TypeError as error:
        raise DataError(str(error)) from error
    return found


def send(connection: Any, packed: bytes) -> None:  # noqa: ANN401 - redis-py's connection
    """Send packed commands. The caller disconnects if this, or a reply, fails."""
    if len(packed) <= SEND_BYTES:
        connection.send_packed_command((packed,))
    else:  # each piece may take redis_timeout_s, so that a large batch does not time out
        starts = range(0, len(packed), SEND_BYTES)
        connection.send_packed_command([packed[i : i + SEND_BYTES] for i in starts])


def read_reply(connection: Any) -> Any:  # noqa: ANN401 - redis-py's connection
    """Read one reply; an error reply is returned."""
    try:
        return connection.read_response()
    except ResponseError as error:
        return error
