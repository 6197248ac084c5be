"""Fills the caches of a post from PostgreSQL, under the fence.

A load announces itself with a token, reads, and installs. A claim in between deletes the token, and
the install is refused: what was read may lack what the claim carried over. What is pending at the
moment of the install is added to it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from reactions.hot import Hot
from reactions.ledger import Ledger
from reactions.settings import Settings


class Loader:
    """Reads a post from the ledger into the hot store."""

    def __init__(self, hot: Hot, ledger: Ledger, settings: Settings) -> None:
        self._hot = hot
        self._ledger = ledger
        self._settings = settings

    def counts(self, post_id: int) -> dict[int, int]:
        """A post's counts by type code, cached if the fence allows: three round trips, one query.

        Raises:
            ReactionsUnavailable: Redis or PostgreSQL.
        """
        token = secrets.token_hex(8)
        # When a claim is open the answer may lack what it holds, and is not cached.
        self._hot.fence(post_id, token)
        stored = self._ledger.counts([post_id])[post_id]
        all_types = dict.fromkeys(self._settings.reaction_types.values(), 0)
        _, counts = self._hot.install_counts(post_id, token, all_types | stored)
        return counts

    def reactions(self, post_id: int) -> bool:
        """Cache the complete user -> type hash of a regular post; False when the fence refused.

        A post at or above the viral threshold is left alone, and False returned.
        """
        token = secrets.token_hex(8)
        if not self._hot.fence(post_id, token):
            return False
        if sum(self._ledger.counts([post_id])[post_id].values()) >= self._settings.viral_threshold:
            return False
        return self.fenced({post_id: token}) == 1

    def fenced(self, tokens: Mapping[int, str]) -> int:
        """Cache the complete hashes of posts that are fenced already: one query for all of them.

        Args:
            tokens: post -> the token of its load.

        Returns:
            How many were installed; the rest was refused, as a claim came in between.
        """
        rows = self._ledger.reactions(list(tokens)) if tokens else {}
        return sum(
            self._hot.install_reactions(post_id, token, rows[post_id])
            for post_id, token in tokens.items()
        )
