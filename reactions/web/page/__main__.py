"""``python -m reactions.web.page PORT FOLDER [FLOWER]`` serves the page. The stack starts it."""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn

from reactions.core.settings import Settings
from reactions.web.page.app import create_page

END_S = 1
"""How long a shutdown waits for open requests, in seconds."""


def main(port: int, folder: Path, flower: str | None = None) -> None:
    """Serve on the loopback interface until a signal ends the process."""
    uvicorn.run(
        create_page(Settings.from_env(), folder, flower),
        host="127.0.0.1",
        port=port,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=END_S,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
