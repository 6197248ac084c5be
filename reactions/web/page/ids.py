"""The ids of the page's posts and of its users."""

from __future__ import annotations

import json
from pathlib import Path

STATIC = Path(__file__).parent.parent / "static"

_posts = json.loads((STATIC / "posts.json").read_text())

POSTS: tuple[int, ...] = tuple(int(post["id"]) for post in _posts)
"""The posts that the page shows."""

ELSEWHERE = range(2**62 + 1, 2**62 + 401)
"""More posts for bursts. The page does not show them, and nobody tries the library on them."""

GUESTS = 2**62
"""The first id of the page's users. No trace has such ids, so the demo can tell them apart."""

CROWD = GUESTS + 1_000
"""The first id of the users of bursts. The ids from `GUESTS` up to here are for visitors."""
