"""What a contender is: what a web process calls, what works behind it, when all is durable."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from benchmarks.support.arena import Arena
from reactions.core.settings import Settings


class Client(Protocol):
    """What one thread of a web process uses."""

    def react(self, user: int, post: int, code: int) -> object:
        """Return once it is accepted; a code of 0 removes."""

    def feed(self, user: int, posts: Sequence[int]) -> object:
        """Counts of these posts, and the user's own reactions."""

    def close(self) -> None:
        """Hand on what is waiting."""


class Contender(ABC):
    """One way to build a like button.

    Attributes:
        name: by which ``--only`` knows it.
        title: what it is.
        durable: what it accepts gets into PostgreSQL.
        inline: it is there when ``react`` returns.
        processes, threads: web processes and threads of each; without a number, as many processes
            as writers are asked for.
    """

    name: str
    title: str
    durable: bool = True
    inline: bool = False
    processes: int | None = None
    threads: int = 1

    @abstractmethod
    def connect(self, settings: Settings) -> Client:
        """For a thread of a web process."""

    def prepare(self, arena: Arena) -> None:  # noqa: B027 - most need nothing, and so below
        """Once: what it needs in the stores beyond what is there."""

    def start(self, arena: Arena) -> None:  # noqa: B027
        """Its workers, on empty stores."""

    def finish(self, arena: Arena) -> None:  # noqa: B027
        """The web processes are done: begin what would wait for a clock."""

    def settled(self, arena: Arena) -> bool:
        """Whether all that was accepted is in PostgreSQL."""
        del arena
        return True

    def tally(self, arena: Arena) -> tuple[Counter[int], Counter[int]]:
        """Code -> reactions, by the rows and by the counts."""
        del arena
        return Counter(), Counter()
