"""Reads event traces: CSV, plain or gzip, with the columns ts_seconds,user_id,item_id,type."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

from reactions.core.constants import MAX_ID, REMOVE
from reactions.core.errors import TraceError
from reactions.core.type_names import ALLOWED, is_name

HEADER = "ts_seconds,user_id,item_id,type"
MAX_LINE = 10_000
"""A line with more characters is broken. A good line has about 90 at most."""

_NOT_UTF8 = re.compile("[\udc80-\udcff]")  # surrogateescape decodes a wrong byte to one of these

MAX_DESCRIBED = 20
"""A trace describes this many broken lines, and only counts the others."""


class Event(NamedTuple):
    """One line of a trace."""

    user_id: int
    post_id: int
    reaction: str | None


@dataclass(slots=True)
class Trace:
    """A file of events. Each iteration reads the file again, and skips broken lines.

    Iterating raises TraceError if the file cannot be read or has the wrong header.

    Attributes:
        path: the file.
        limit: stop after this many events.
        broken: ``line N: reason`` for the first broken lines of the last iteration.
        broken_lines: the number of broken lines in the last iteration.
    """

    path: Path
    limit: int | None = None
    broken: list[str] = field(default_factory=list)
    broken_lines: int = 0

    def __iter__(self) -> Iterator[Event]:
        self.broken, self.broken_lines = [], 0
        read = 0
        number = 1
        with _open(self.path) as file:
            try:
                # No field needs quotes. Without a CSV parser, a stray quote breaks one line only.
                lines = _lines(file)
                if next(lines, ("", True))[0].strip() != HEADER:
                    raise TraceError(f"{self.path} does not begin with {HEADER}")
                for number, (line, whole) in enumerate(lines, start=2):
                    if read == self.limit:
                        return
                    event = self._event(line.rstrip("\r\n"), whole, number)
                    if event is not None:
                        read += 1
                        yield event
            except (OSError, EOFError, zlib.error) as error:
                raise TraceError(f"{self.path}, after line {number}: {error}") from error

    def _event(self, line: str, whole: bool, number: int) -> Event | None:
        try:
            return _parse(line, whole)
        except ValueError as error:
            self.broken_lines += 1
            if len(self.broken) < MAX_DESCRIBED:
                self.broken.append(f"line {number}: {error}")
            return None

    def types(self) -> list[str]:
        """Return the reaction types of the trace, in the order of their first appearance."""
        return list(dict.fromkeys(e.reaction for e in self if e.reaction is not None))

    def outcome(self) -> dict[int, dict[int, str]]:
        """Return the reactions after the last event: post -> user -> type, without removed ones."""
        final: dict[int, dict[int, str]] = {}
        for user_id, post_id, reaction in self:
            if reaction is None:
                final.get(post_id, {}).pop(user_id, None)
            else:
                final.setdefault(post_id, {})[user_id] = reaction
        return final


@contextmanager
def _open(path: Path) -> Iterator[IO[str]]:
    try:
        with path.open("rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
    except OSError as error:
        raise TraceError(f"{path} cannot be read: {error.strerror}") from error
    # With surrogateescape, a byte that is not UTF-8 breaks only its own line.
    text: Any = {"mode": "rt", "encoding": "utf-8-sig", "errors": "surrogateescape"}
    with gzip.open(path, **text) if zipped else path.open(**text) as file:
        yield file


def _lines(file: IO[str]) -> Iterator[tuple[str, bool]]:
    """Yield each line, cut at `MAX_LINE` characters, and whether it is complete."""
    while line := file.readline(MAX_LINE):
        whole = line.endswith("\n") or len(line) < MAX_LINE
        yield line, whole
        while not line.endswith("\n") and (line := file.readline(MAX_LINE)):
            pass


def _parse(line: str, whole: bool) -> Event:
    _, user, post, reaction = line.split(",", 4)
    event = Event(_id(user), _id(post), _reaction(reaction))
    if not whole:
        raise ValueError(f"has more than {MAX_LINE:,} characters")
    if _NOT_UTF8.search(line):
        raise ValueError("has bytes that are not UTF-8")
    return event


def _reaction(text: str) -> str | None:
    if not is_name(text):
        raise ValueError(f"type {text[:40]!r} is not a name: {ALLOWED}")
    return None if text == REMOVE else text


def _id(text: str) -> int:
    # An id has at most 19 digits. int() takes quadratic time for a text of millions.
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 19 else 0
    if not 1 <= number <= MAX_ID:
        raise ValueError(f"id {text[:40]!r} is not an integer from 1 to 2^63-1")
    return number
