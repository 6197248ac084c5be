"""The interface of a contender: its client, its workers, and when everything is durable."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from benchmarks.support.arena import Arena
from reactions.core.settings import Settings

REASONS = ("cold post", "unknown user", "both")
"""Why a feed is not answered by Redis alone: it lacks counts, or the user's own reactions."""


class Client(Protocol):
    """The client of one thread of a web process."""

    def react(self, user: int, post: int, code: int) -> object:
        """Return once the reaction is accepted; code 0 removes it."""

    def feed(self, user: int, posts: Sequence[int]) -> object:
        """Read the counts of these posts, and the user's own reactions."""

    def close(self) -> None:
        """Send what waits in the client, and close it."""


class Contender(ABC):
    """One way to build a like button.

    Attributes:
        name: its name for ``--only``.
        title: its name in tables.
        durable: whether accepted reactions get into PostgreSQL.
        inline: whether they are there when ``react`` returns.
        processes, threads: number of web processes, and of threads in each; None means the
            number of writers.
    """

    name: str
    title: str
    durable: bool = True
    inline: bool = False
    processes: int | None = None
    threads: int = 1

    @abstractmethod
    def connect(self, settings: Settings) -> Client:
        """Make the client of one thread."""

    def prepare(self, arena: Arena) -> None:  # noqa: B027 - most contenders need nothing here
        """Create what it needs in the stores; called once."""

    def start(self, arena: Arena) -> None:  # noqa: B027 - as above
        """Start its workers, on empty stores."""

    def warm(self, arena: Arena, posts: Sequence[int], users: Sequence[int]) -> None:  # noqa: B027 - as above
        """Bring posts and users into the caches, as readers would have done before."""

    def reached(self, client: Client) -> Counter[str]:
        """How many feeds of this client had to ask PostgreSQL, by REASONS.

        Empty for a contender whose feeds all do, or never.
        """
        del client
        return Counter()

    def finish(self, arena: Arena) -> None:  # noqa: B027 - as above
        """The web processes are done: start at once what would wait for a timer."""

    def settled(self, arena: Arena) -> bool:
        """Whether everything accepted is in PostgreSQL."""
        del arena
        return True

    def tally(self, arena: Arena) -> tuple[Counter[int], Counter[int]]:
        """Type code -> number of reactions: in the rows, and in the counts."""
        del arena
        return Counter(), Counter()
