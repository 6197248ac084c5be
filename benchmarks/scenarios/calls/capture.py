"""Learns what ``react()`` of any version sends, by watching the server with MONITOR."""

from __future__ import annotations

import ast
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from redis import Redis

from reactions.redis.wire import Words

_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"')
WAIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Captured:
    """The script of one version, and the words of a call on one post.

    Attributes:
        keys: the KEYS of the call.
        rest: its ARGV after the user, the post and the code.
    """

    source: bytes
    keys: Sequence[bytes]
    post: bytes
    rest: Sequence[bytes]
    sha: str

    def words(self, user: int, code: int) -> Words:
        """The EVALSHA for another user and another code."""
        names = self.keys
        return ("EVALSHA", self.sha, len(names), *names, user, self.post, code, *self.rest)

    def key(self, what: str) -> bytes | None:
        """The key of the post whose name ends so; None if this version has no such key."""
        ending = f":{what}".encode()
        return next((k for k in self.keys if k.startswith(b"post:") and k.endswith(ending)), None)


def capture(client: Redis, port: int, react_once: Callable[[], object]) -> Captured:
    """Have a client react once on a server without scripts, and read the script that it sends.

    Raises:
        TimeoutError: no EVAL came within WAIT_S.
    """
    client.script_flush()
    with socket.create_connection(("127.0.0.1", port), WAIT_S) as monitor:
        monitor.sendall(b"MONITOR\r\n")
        lines = monitor.makefile("rb")
        lines.readline()
        react_once()
        for line in lines:
            words = [bytes(ast.literal_eval(f'b"{w.decode("latin-1")}"')) for w in _quoted(line)]
            if words[0].upper() == b"EVAL":
                return _captured(client, words)
    raise TimeoutError("react() sent no script")


def _quoted(line: bytes) -> list[bytes]:
    return _QUOTED.findall(line)


def _captured(client: Redis, words: Sequence[bytes]) -> Captured:
    source, number = words[1], int(words[2])
    keys, args = words[3 : 3 + number], words[3 + number :]
    return Captured(source, keys, args[1], args[3:], load(client, source))


def load(client: Redis, source: bytes) -> str:
    """Give a script to the server; returns its SHA-1."""
    sha: Any = client.execute_command("SCRIPT LOAD", source)  # type: ignore[no-untyped-call]
    return str(sha.decode() if isinstance(sha, bytes) else sha)
