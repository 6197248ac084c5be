"""Posts that a loss of Redis is tried on."""

from __future__ import annotations

from tests.support.engine import Engine

REGULAR, VIRAL, DELETED = 1042, 1143, 1044


def fill(engine: Engine) -> None:
    client = engine.reactions
    for post, users in ((REGULAR, 6), (VIRAL, 15), (DELETED, 3)):
        client.react_many((user, post, "like") for user in range(1, users + 1))
    engine.drain()
    client.delete_post(DELETED)
    while any(engine.erasure_requests.unfinished()):
        engine.eraser.erase()
