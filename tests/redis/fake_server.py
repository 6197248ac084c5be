"""A fake Redis server that sends the replies that a test chooses."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from reactions.core.settings import Settings

PASSWORD = "QXZ789QXZ789"  # noqa: S105 - not a real password

HELLO = b"%1\r\n$5\r\nproto\r\n:3\r\n"
Answer = Callable[[bytes], bytes]
HANG_UP = b"\0"


@contextmanager
def listening(*answers: Answer) -> Iterator[int]:
    """Run a server, and yield its port.

    Args:
        answers: one for each connection; the last one also serves all further connections. An
            answer turns a request into a reply; b"" is silence.
    """
    left = list(answers)

    def serve(peer: socket.socket, answer: Answer) -> None:
        with peer, suppress(ConnectionError):  # a client may end it in the middle
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
    """Accept the greeting, then send these replies; the last one repeats."""
    left = list(replies)

    def answer(request: bytes) -> bytes:
        if b"HELLO" in request:
            return HELLO
        if b"MAINT_NOTIFICATIONS" in request:
            return b"-ERR unknown subcommand\r\n"
        # redis-py sends its name and version in one pipeline; each command needs a reply.
        if b"SETINFO" in request:
            return request.count(b"SETINFO") * b"+OK\r\n"
        return left.pop(0) if len(left) > 1 else left[0]

    return answer


def refusing(reply: str) -> Answer:
    """Accept the greeting, then answer every command with this error."""
    return saying(f"-{reply}\r\n".encode())


def echoing(request: bytes) -> bytes:
    """Act as a server without HELLO: its error repeats the arguments, including the password."""
    name, *words = request.split(b"\r\n")[2::2]
    shown = b" ".join(b"`%s`" % word for word in words)
    return b"-ERR unknown command `%s`, with args beginning with: %s\r\n" % (name, shown)


def settings_for(port: int, *, cluster: bool = False) -> Settings:
    url = f"redis://:{PASSWORD}@127.0.0.1:{port}/0"
    return Settings(redis_url=url, redis_cluster=cluster, redis_timeout_s=0.2)


def hanging_up(asked: list[bytes]) -> Answer:
    """Accept the greeting, and close the connection at the first GET."""
    greet = saying(b"")

    def answer(request: bytes) -> bytes:
        if b"GET" not in request:
            return greet(request)
        asked.append(request)
        return HANG_UP

    return answer
