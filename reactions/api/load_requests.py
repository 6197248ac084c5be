"""Asks workers to cache what reads found missing, without repeating a request at once."""

from __future__ import annotations

import threading

from cachetools import TTLCache

from reactions.api.relay import Relay

LOAD_AGAIN_S = 5.0
"""How long this process does not repeat a request for the same post or user, in seconds."""


class LoadRequests:
    """Sends requests to the relay, at most one for each post and user within ``LOAD_AGAIN_S``."""

    def __init__(self, relay: Relay, space: str) -> None:
        self._relay = relay
        self._space = space
        self._lock = threading.Lock()  # a TTLCache is not thread-safe
        self._posts: TTLCache[int, bool] = TTLCache(10_000, LOAD_AGAIN_S)
        self._users: TTLCache[int, bool] = TTLCache(10_000, LOAD_AGAIN_S)

    def post(self, post_id: int) -> None:
        """Ask a worker to cache what the tier of a post needs."""
        if self._is_first(self._posts, post_id):
            self._relay.request_load(post_id, self._space)

    def user(self, user_id: int) -> None:
        """Ask a worker to cache all reactions of a user."""
        if self._is_first(self._users, user_id):
            self._relay.request_user_load(user_id, self._space)

    def _is_first(self, requested: TTLCache[int, bool], number: int) -> bool:
        with self._lock:
            if number in requested:
                return False
            requested[number] = True
        return True
