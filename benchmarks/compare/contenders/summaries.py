"""Makes the values that a feed needs, as this system's ``summaries`` returns them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from reactions.core.model import Summary, Tier, make_summary
from reactions.core.settings import Settings

CountsOf: TypeAlias = "dict[int, dict[str, int]]"
"""Post -> name of the type -> count, with every type."""


class Summaries:
    """Builds ``Summary`` values from what a contender read."""

    def __init__(self, settings: Settings) -> None:
        self.names = {code: name for name, code in settings.reaction_types.items()}
        self._zeros = dict.fromkeys(settings.reaction_types, 0)
        self._threshold = settings.viral_threshold

    def blank(self, posts: Iterable[int]) -> CountsOf:
        """Counts of zero for these posts."""
        return {post: self._zeros.copy() for post in posts}

    def make(self, counts: CountsOf, own: Mapping[int, str]) -> list[Summary]:
        """One summary a post, in order.

        Args:
            own: post -> name of the user's own reaction.
        """
        found = []
        for post, by_name in counts.items():
            total = sum(by_name.values())
            tier = Tier.VIRAL if total >= self._threshold else Tier.REGULAR
            found.append(make_summary(post, by_name, total, tier, own.get(post)))
        return found
