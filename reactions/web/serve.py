"""``reactions web``: the service under uvicorn."""

from __future__ import annotations

import sys

import uvicorn

from reactions.core.settings import Settings
from reactions.web import auth

END_S = 5
"""How long requests under way may take when the server is to end; then streams are cut."""


def serve(host: str, port: int, workers: int) -> None:
    """Until it is interrupted.

    Raises:
        InvalidSettings: the configuration cannot be used, or names no authenticator.
    """
    sys.path.insert(0, "")  # an authenticator may be in the current folder
    auth.load(Settings.from_env())  # here, as a worker that fails would be started again and again
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
