"""``reactions web``: the HTTP API."""

from __future__ import annotations

import click

from reactions.cli.console import missing_extra
from reactions.cli.options import port_number, process_count


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=port_number, default=8_000, show_default=True, help="Port to listen on."
)
@click.option("--workers", type=process_count, default=1, show_default=True, help="Processes.")
def web(host: str, port: int, workers: int) -> None:
    """Serve the HTTP API.

    REACTIONS_WEB_AUTHENTICATOR names the function that identifies the user of a request; see
    docs/web.md. The server describes its API at /openapi.json. Needs the extra `web`.
    """
    try:
        from reactions.web.serve import serve
    except ImportError as error:
        raise missing_extra("web") from error

    serve(host, port, workers)
