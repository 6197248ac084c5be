"""What the page shows: its posts, and the users who are nobody's."""

from __future__ import annotations

import json
from pathlib import Path

STATIC = Path(__file__).parent.parent / "static"

_written = json.loads((STATIC / "posts.json").read_text())

POSTS: tuple[int, ...] = tuple(post["id"] for post in _written)
"""Their ids."""

ELSEWHERE = range(2**62 + 1, 2**62 + 401)
"""Posts of the same site that nobody looks at here, nor tries the library on."""

GUESTS = 2**62
"""The users of the page have ids from here on: no trace has, so that a demo tells them apart."""

CROWD = GUESTS + 1_000
"""Those of bursts from here on; before it, those that a visitor may be."""
