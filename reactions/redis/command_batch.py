"""Plain commands by redis-py's methods: collected and sent all at once, or each of them at once.

redis-py's pipeline of a cluster fails as a whole with one node. This one sends a pipeline to each
node, and the reply to a command whose node does not answer is its error.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from redis import Redis
from redis.commands.core import DataAccessCommands
from redis.exceptions import RedisError

from reactions.redis.connection import Client, execute, execute_many
from reactions.redis.exchanger import exchanger
from reactions.redis.wire import Words

_Commands: Any = DataAccessCommands
"""redis-py's methods: each calls ``execute_command`` once, with its words."""


class CommandBatch(_Commands):  # type: ignore[misc]
    """Plain commands for one round trip to each node. Each must be safe to send twice."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._calls: list[tuple[Words, dict[str, Any]]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._calls = []

    def execute_command(self, *words: Any, **options: Any) -> Self:  # noqa: ANN401 - of redis-py
        options.pop("keys", None)  # for redis-py's own cache
        self._calls.append((words, options))
        return self

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Send the commands and return their replies, in order, in redis-py's types.

        Args:
            raise_on_error: raise the first error; otherwise it is the reply to its command.

        Raises:
            RedisError: a command failed, or the connection to a single server.
        """
        calls, self._calls = self._calls, []
        if not calls:
            return []
        read = _readers(self._client)
        replies = execute_many(self._client, [words for words, _ in calls])
        found = []
        for (words, options), reply in zip(calls, replies, strict=True):
            failed = isinstance(reply, RedisError)
            if failed and raise_on_error:
                raise reply
            reader = None if failed else read.get(str(words[0]))
            found.append(reader(reply, **options) if reader else reply)
        return found


class Commands(_Commands):  # type: ignore[misc]
    """redis-py's methods, each of which sends its command at once, as ``execute`` does.

    redis-py's own client of a cluster tries node after node while one is silent, and takes many
    times redis_timeout_s. Every method raises RedisError when the command or the connection failed.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def execute_command(self, *words: Any, **options: Any) -> Any:  # noqa: ANN401 - of redis-py
        options.pop("keys", None)
        reply = execute(self._client, words)
        reader = _readers(self._client).get(str(words[0]))
        return reader(reply, **options) if reader else reply


def _readers(client: Client) -> Any:  # noqa: ANN401 - redis-py's
    """Name of a command -> what makes redis-py's type of its reply."""
    if (loop := exchanger(client)) is not None:
        return loop.response_callbacks
    if isinstance(client, Redis):
        return client.response_callbacks
    nodes: list[Any] = client.get_nodes()  # type: ignore[no-untyped-call]
    return client.get_redis_connection(nodes[0]).response_callbacks
