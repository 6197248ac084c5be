"""The steps of a load, for a single post: production loads many posts at once."""

from __future__ import annotations

from collections.abc import Mapping

from reactions.redis.cache_install import LOADABLE, CacheInstall
from reactions.redis.replies import installed


class SingleLoads(CacheInstall):
    """Loads one post, by the calls that production uses for many."""

    def fence(self, post_id: int, token: str) -> bool:
        """Announce a load; False if the fence is refused."""
        return self.fence_many([post_id], token).get(post_id) in LOADABLE

    def install_counts(
        self, post_id: int, token: str, counts: Mapping[int, int]
    ) -> tuple[bool, dict[int, int]]:
        """Cache counts; returns whether they were cached, and the counts with what is pending."""
        return installed(self.install_counts_call(post_id, token, counts).run(self._client))

    def install_reactions(self, post_id: int, token: str, rows: Mapping[int, int]) -> bool:
        """Cache a complete hash; False if the install is refused."""
        return self.install_hashes({post_id: token}, {post_id: rows}) == 1
