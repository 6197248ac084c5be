"""wire.py: what is packed, and how large a piece is."""

from __future__ import annotations

from typing import Any

import pytest
from redis import Redis
from redis.exceptions import DataError, ResponseError

from reactions.demo.embedded import Valkey
from reactions.redis.wire import SEND_BYTES, pack, read_replies, read_reply, send


class Recorder:
    """Stands where redis-py's connection would be."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def send_packed_command(self, pieces: Any) -> None:
        self.pieces += pieces

    def read_response(self) -> object:
        raise ResponseError("no such thing")


def test_words_of_each_type_are_packed() -> None:
    assert pack(("GET", b"\xff", 7)) == b"*3\r\n$3\r\nGET\r\n$1\r\n\xff\r\n$1\r\n7\r\n"
    with pytest.raises(DataError):
        pack(("GET", None))  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [1, SEND_BYTES, SEND_BYTES + 1, 3 * SEND_BYTES])
def test_a_large_batch_is_sent_in_pieces(size: int) -> None:
    recorder, packed = Recorder(), bytes(size)
    send(recorder, packed)
    assert b"".join(recorder.pieces) == packed
    assert max(map(len, recorder.pieces)) <= SEND_BYTES


def test_an_error_reply_is_returned() -> None:
    assert str(read_reply(Recorder())) == "no such thing"


@pytest.mark.parametrize("hidden", [False, True])
def test_replies_are_read_also_where_redis_py_has_other_names_inside(
    valkey: Valkey, hidden: bool
) -> None:
    """An error among them is returned in its place."""
    with Redis(port=valkey.port) as client:
        connection: Any = client.connection_pool.get_connection()
        commands = (("PING",), ("HGET", "once"), ("MGET", "none", "nobody"), ("PING",))
        send(connection, b"".join(map(pack, commands)))
        found = read_replies(Outside(connection) if hidden else connection, len(commands))
        client.connection_pool.release(connection)
    assert [found[0], *found[2:]] == [b"PONG", [None, None], b"PONG"]
    assert isinstance(found[1], ResponseError)


class Outside:
    """A connection without anything that is not public."""

    def __init__(self, connection: Any) -> None:
        self.read_response = connection.read_response
