"""A client of Redis whose commands something else carries out, for example an event loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from reactions.redis.connection import Client

Answer = TypeVar("Answer")


class Exchanger(ABC):
    """Stands where a client of redis-py stands. It waits without blocking the thread.

    Attributes:
        cluster: whether it is one of a Redis Cluster.
    """

    cluster: bool

    @abstractmethod
    def exchange(self, packed: bytes, replies: int) -> list[Any]:
        """Send packed commands to a single server, and return their replies, in order.

        Raises:
            RedisError: the connection failed.
        """

    @abstractmethod
    def exchange_on_nodes(self, slots: Sequence[int], packed: Sequence[bytes]) -> list[Any]:
        """Send packed commands to the nodes of a cluster, each with its slot.

        Returns:
            Their replies, in order. The reply to a failed command is its RedisError.
        """

    @abstractmethod
    def run_blocking(self, work: Callable[[Client], Answer]) -> Answer:
        """Call a function in a thread, with a synchronous client, and return its answer.

        Raises:
            Exception: what the function raised.
        """

    @property
    @abstractmethod
    def response_callbacks(self) -> Mapping[str, Any]:
        """Name of a command -> what makes redis-py's type of its reply."""

    @abstractmethod
    def close(self) -> None:
        """Close what blocks. The connections of an event loop are closed by its client."""


def exchanger(client: object) -> Exchanger | None:
    """Return the exchanger that stands where a client of redis-py stands; else None."""
    return client if isinstance(client, Exchanger) else None
