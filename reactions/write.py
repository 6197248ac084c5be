"""The write path: check, one script, and at most a word to the relay. No SQL is reachable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from redis.exceptions import RedisError

from reactions.client import translate
from reactions.errors import BatchInterrupted, InvalidArgument, PostDeleted
from reactions.hot import Hot
from reactions.keys import shard_of
from reactions.model import Outcome, Status
from reactions.relay import Relay
from reactions.scripts import Reacted
from reactions.settings import Settings
from reactions.validate import check_id, check_reaction

_STATUS = (Status.UNCHANGED, Status.CREATED, Status.REPLACED, Status.REMOVED, Status.ACCEPTED)
REFUSED = len(_STATUS)


class Writer:
    """Reactions in, outcomes out."""

    def __init__(self, hot: Hot, relay: Relay, settings: Settings) -> None:
        self._hot = hot
        self._relay = relay
        self._types = settings.reaction_types
        self._names: Mapping[int, str] = {code: name for name, code in self._types.items()}
        self._batch_limit = settings.batch_limit

    def react(self, user_id: int, post_id: int, reaction: str) -> Outcome:
        return self._write(
            check_id("user_id", user_id),
            check_id("post_id", post_id),
            check_reaction(self._types, reaction),
        )

    def unreact(self, user_id: int, post_id: int) -> Outcome:
        return self._write(check_id("user_id", user_id), check_id("post_id", post_id), 0)

    def react_many(self, items: Iterable[tuple[int, int, str | None]]) -> list[Outcome]:
        checked = self._check_items(items)
        replies = self._hot.react_many(checked)
        outcomes: list[Outcome | None] = []
        deleted: list[int] = []
        failure: RedisError | None = None
        for (_, post_id, code), reply in zip(checked, replies, strict=True):
            if isinstance(reply, RedisError):
                failure = reply
                outcomes.append(None)
            elif reply.status == REFUSED:
                deleted.append(post_id)
                outcomes.append(None)
            else:
                outcomes.append(self._outcome(post_id, code, reply))
        if failure is not None:
            raise BatchInterrupted(str(translate(failure)), outcomes) from failure
        if deleted:
            raise PostDeleted(list(dict.fromkeys(deleted)), outcomes)
        return [outcome for outcome in outcomes if outcome is not None]

    def delete_post(self, post_id: int) -> None:
        self._hot.delete_post(check_id("post_id", post_id))

    def forget_user(self, user_id: int) -> None:
        self._hot.forget_user(check_id("user_id", user_id))

    def _check_items(
        self, items: Iterable[tuple[int, int, str | None]]
    ) -> list[tuple[int, int, int]]:
        if not isinstance(items, Iterable):
            raise InvalidArgument("items", "an iterable of tuples", items)
        checked: list[tuple[int, int, int]] = []
        for item in items:
            if len(checked) == self._batch_limit:
                raise InvalidArgument("items", f"at most {self._batch_limit} (batch_limit)", items)
            if not _is_triple(item):
                raise InvalidArgument("items", "tuples (user_id, post_id, reaction or None)", item)
            user_id, post_id, reaction = item
            code = 0 if reaction is None else check_reaction(self._types, reaction)
            checked.append((check_id("user_id", user_id), check_id("post_id", post_id), code))
        return checked

    def _write(self, user_id: int, post_id: int, code: int) -> Outcome:
        reply = self._hot.react(user_id, post_id, code)
        if reply.status == REFUSED:
            raise PostDeleted([post_id])
        return self._outcome(post_id, code, reply)

    def _outcome(self, post_id: int, code: int, reply: Reacted) -> Outcome:
        status, previous, version, wake = reply
        if wake:
            self._relay.request(shard_of(post_id))
        names = self._names
        return Outcome(_STATUS[status], names.get(code), names.get(previous), version or None)


def _is_triple(item: object) -> bool:
    return isinstance(item, tuple | list) and len(item) == 3
