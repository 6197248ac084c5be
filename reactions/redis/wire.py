"""Packs commands and reads replies over a connection of redis-py, without redis-py's own layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from hiredis import PushNotification, Reader, pack_command
from redis.exceptions import DataError, ResponseError

Argument: TypeAlias = "str | bytes | int"
Words: TypeAlias = "Sequence[Argument]"
"""The words of one command, for example ``("MEMORY", "USAGE", key)``."""

PLAIN = {bytes, int, list, type(None), dict, set, float, bool, str}
"""The types of replies that are neither errors nor news of the server."""

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


def read_replies(connection: Any, number: int) -> list[Any]:  # noqa: ANN401 - redis-py's connection
    """Read so many replies, one at least; error replies are returned.

    What has arrived together with the first one is taken from hiredis at once: redis-py's own way
    to a reply costs ten times as much.
    """
    found = [read_reply(connection)]
    parser = getattr(connection, "_parser", None)
    reader = getattr(parser, "_reader", None)
    if parser is None or not isinstance(reader, Reader):  # names that redis-py may change
        return found + [read_reply(connection) for _ in range(number - 1)]
    gets = reader.gets
    while len(found) < number:
        reply = gets()
        kind = type(reply)
        if kind in PLAIN:
            found.append(reply)
        elif isinstance(reply, ResponseError):
            if (note := getattr(connection, "note", None)) is not None:  # one of our own pool
                note(reply)
            found.append(reply)
        elif isinstance(reply, Exception):
            raise reply
        elif kind is PushNotification:
            parser.handle_push_response(reply)
        else:  # the rest has not arrived yet
            found.append(read_reply(connection))
    return found


def read_reply(connection: Any) -> Any:  # noqa: ANN401 - redis-py's connection
    """Read one reply; an error reply is returned."""
    try:
        return connection.read_response()
    except ResponseError as error:
        return error
