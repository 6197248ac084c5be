"""A server that answers as a test tells it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from reactions.core.settings import Settings

PASSWORD = "QXZ789QXZ789"  # noqa: S105 - nobody's

HELLO = b"%1\r\n$5\r\nproto\r\n:3\r\n"
Answer = Callable[[bytes], bytes]
HANG_UP = b"\0"


@contextmanager
def listening(*answers: Answer) -> Iterator[int]:
    """A server that answers each request as told; b"" is silence. Yields its port.

    With several answers, each is that of a connection, the last one of all further ones.
    """
    left = list(answers)

    def serve(peer: socket.socket, answer: Answer) -> None:
        with peer:
            while (request := peer.recv(65536)) and (reply := answer(request)) != HANG_UP:
                peer.sendall(reply)

    def accept() -> None:
        while True:
            try:
                peer, _ = server.accept()
            except OSError:
                return
            answer = left.pop(0) if len(left) > 1 else left[0]
            threading.Thread(target=serve, args=(peer, answer), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def saying(*replies: bytes) -> Answer:
    """Lets a client in, then answers its requests with these, and all further with the last."""
    left = list(replies)

    def answer(request: bytes) -> bytes:
        if b"HELLO" in request:
            return HELLO
        if b"MAINT_NOTIFICATIONS" in request:
            return b"-ERR unknown subcommand\r\n"
        # redis-py names itself with a pipeline of these, one reply each.
        if b"SETINFO" in request:
            return request.count(b"SETINFO") * b"+OK\r\n"
        return left.pop(0) if len(left) > 1 else left[0]

    return answer


def refusing(reply: str) -> Answer:
    """Lets a client in, then answers every command with this error."""
    return saying(f"-{reply}\r\n".encode())


def echoing(request: bytes) -> bytes:
    """As a server from before HELLO: the error repeats the arguments, and so the password."""
    name, *words = request.split(b"\r\n")[2::2]
    shown = b" ".join(b"`%s`" % word for word in words)
    return b"-ERR unknown command `%s`, with args beginning with: %s\r\n" % (name, shown)


def settings_for(port: int, *, cluster: bool = False) -> Settings:
    url = f"redis://:{PASSWORD}@127.0.0.1:{port}/0"
    return Settings(redis_url=url, redis_cluster=cluster, redis_timeout_s=0.2)


def hanging_up(asked: list[bytes]) -> Answer:
    """Lets a client in, and closes at its first command."""
    greet = saying(b"")

    def answer(request: bytes) -> bytes:
        if b"GET" not in request:
            return greet(request)
        asked.append(request)
        return HANG_UP

    return answer
