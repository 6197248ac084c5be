"""The history of the writers: one line for the start of each operation, one for its end.

A writer may be killed at any moment; the lines that it wrote before stay. Times are seconds of the
monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Self

MAX_CALL_S = 2.0
"""The longest time of a call: two attempts to connect and to receive an answer, 0.5 s each."""


class Kind(StrEnum):
    """The kinds of operations."""

    WRITE = "write"
    """``react``, or ``unreact`` where the value is None."""
    READ = "read"
    """``reaction_of``."""
    DELETE = "delete"
    """``delete_post``."""
    FORGET = "forget"
    """``forget_user``."""


class Fate(StrEnum):
    """The end of an operation."""

    DONE = "done"
    """It was answered."""
    REFUSED = "refused"
    """It was answered, and had no effect."""
    OPEN = "open"
    """No answer, or an error: it may take effect now, a little later, or never."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of the library.

    Attributes:
        value: the value written or read; None for no reaction.
        began, ended: seconds of the monotonic clock; an open operation ended when its caller
            gave up.
        status, previous, version: the outcome of an answered write.
    """

    writer: str
    kind: Kind
    user: int
    post: int
    value: str | None
    began: float
    ended: float
    fate: Fate = Fate.DONE
    status: str = ""
    previous: str | None = None
    version: int = 0


class Recorder:
    """Writes the history of one writer, one system call a line: no line waits in memory."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._number = 0

    def begin(self, kind: Kind, user: int, post: int, value: str | None) -> int:
        """Note a call before it is sent; returns its number for ``end``."""
        self._number += 1
        self._write([self._number, time.monotonic(), kind, user, post, value])
        return self._number

    def end(
        self,
        number: int,
        fate: Fate = Fate.DONE,
        *,
        value: str | None = None,
        status: str = "",
        previous: str | None = None,
        version: int | None = None,
    ) -> None:
        """Note the end of a call after its answer."""
        self._write([-number, time.monotonic(), fate, value, status, previous, version or 0])

    def _write(self, line: list[Any]) -> None:
        os.write(self._file, json.dumps(line).encode() + b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._file)


def read(paths: Iterable[Path]) -> list[Operation]:
    """All operations of all writers, in the order in which they began."""
    found = [operation for path in paths for operation in _read(path)]
    return sorted(found, key=lambda operation: operation.began)


def _read(path: Path) -> Iterator[Operation]:
    begun: dict[int, list[Any]] = {}
    if not path.exists():
        return  # the writer was killed before it opened its file, so it made no call
    for line in path.read_bytes().splitlines(keepends=True):
        if not line.endswith(b"\n"):
            continue  # a kill cut the line off: the call is open, or was never made
        number, at, *rest = json.loads(line)
        if number > 0:
            begun[number] = [at, *rest]
        else:
            yield _operation(path.stem, begun.pop(-number), at, *rest)
    for what in begun.values():
        yield _operation(path.stem, what, what[0] + MAX_CALL_S, Fate.OPEN)


def _operation(
    writer: str,
    begun: list[Any],
    ended: float,
    fate: str,
    read: str | None = None,
    status: str = "",
    previous: str | None = None,
    version: int = 0,
) -> Operation:
    began, kind, user, post, written = begun
    value = read if kind == Kind.READ else written
    return Operation(
        writer,
        Kind(kind),
        user,
        post,
        value,
        began,
        ended,
        Fate(fate),
        status,
        previous,
        version,
    )
