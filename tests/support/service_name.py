"""An address whose meaning changes: a TCP proxy that stands for a name or a load balancer."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class ServiceName:
    """Passes connections on to ``target``.

    Attributes:
        port: where clients connect.
        target: the local port, or the socket, that new connections lead to; open ones stay where
            they are.
    """

    def __init__(self, target: int | Path) -> None:
        self.target = target
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.port: int = self._listener.getsockname()[1]
        self._silent = threading.Event()
        self._open: list[socket.socket] = []
        self.accepted = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def drop_silently(self) -> None:
        """Swallow whatever comes over the open connections, without a word."""
        self._silent.set()
        self._silent = threading.Event()

    def close(self) -> None:
        for end in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = _connect(self.target)
            except OSError:
                client.close()
                continue
            self.accepted += 1
            self._open += (client, server)
            silent = self._silent
            for pair in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(*pair, silent), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket, silent: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                if not silent.is_set():
                    other.sendall(data)
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def _connect(target: int | Path) -> socket.socket:
    if isinstance(target, int):
        return socket.create_connection(("127.0.0.1", target))
    connected = socket.socket(socket.AF_UNIX)
    try:
        connected.connect(str(target))
    except OSError:
        connected.close()
        raise
    return connected


@contextmanager
def service_name(target: int | Path) -> Iterator[ServiceName]:
    """Stand for a name that leads to a server of this machine."""
    name = ServiceName(target)
    try:
        yield name
    finally:
        name.close()
