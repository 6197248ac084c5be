"""Asks workers to cache what reads found missing, each post and user once in a while."""

from __future__ import annotations

import threading

from cachetools import TTLCache

from reactions.api.relay import Relay

LOAD_AGAIN_S = 5.0
"""How long this process waits before it asks for the same post to be cached again (seconds)."""


class LoadRequests:
    """Passes requests on to the relay, but none for the same post or user within LOAD_AGAIN_S."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._lock = threading.Lock()  # cachetools leaves it to its users
        self._posts: TTLCache[int, bool] = TTLCache(10_000, LOAD_AGAIN_S)
        self._users: TTLCache[int, bool] = TTLCache(10_000, LOAD_AGAIN_S)

    def post(self, post_id: int) -> None:
        """Have a worker cache what the tier of a post needs."""
        if self._is_first(self._posts, post_id):
            self._relay.request_load(post_id)

    def user(self, user_id: int) -> None:
        """Have a worker cache all reactions of a user whose cached ones prove nothing yet."""
        if self._is_first(self._users, user_id):
            self._relay.request_user_load(user_id)

    def _is_first(self, asked: TTLCache[int, bool], number: int) -> bool:
        with self._lock:
            if number in asked:
                return False
            asked[number] = True
        return True
