"""``reactions web``: the service under uvicorn."""

from __future__ import annotations

import sys
from contextlib import suppress

import uvicorn

from reactions.api.client import Reactions
from reactions.core.errors import ReactionsUnavailable
from reactions.core.settings import Settings
from reactions.postgres.layout import check_at_start
from reactions.web import auth

END_S = 5
"""How long a shutdown waits for open requests, in seconds; then it cuts them."""


def serve(host: str, port: int, workers: int) -> None:
    """Serve until a signal ends the process.

    Raises:
        InvalidSettings: a setting is invalid, or there is no authenticator.
        LayoutMismatch: this version does not work with what a store holds.
        TypesMismatch: the configured reaction types contradict the registry.
    """
    sys.path.insert(0, "")  # the authenticator may be a module in the current folder
    # Fail here: uvicorn restarts a failed worker forever.
    settings = Settings.from_env()
    auth.load(settings)
    check_at_start(settings, "reactions-web-start")
    with suppress(ReactionsUnavailable), Reactions(settings) as client:
        _ = client.reaction_types
    uvicorn.run(
        "reactions.web.app:from_environment",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=END_S,
    )
