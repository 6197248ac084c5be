"""wire.py: what is packed, and how large a piece is."""

from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import DataError, ResponseError

from reactions.redis.wire import SEND_BYTES, pack, read_reply, send


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
