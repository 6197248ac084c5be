"""``reactions metrics``: the exporter for Prometheus."""

from __future__ import annotations

import click

from reactions.cli.console import err, missing_extra
from reactions.cli.options import port_number
from reactions.cli.stores import open_stores


@click.command()
@click.option(
    "--port", type=port_number, default=9_106, show_default=True, help="Port to listen on."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--once", is_flag=True, help="Print the metrics once, and exit.")
@click.option(
    "--only",
    type=click.Choice(["stores", "processes"]),
    help="Serve one half: `stores` once in all, `processes` on each machine with web processes or"
    " workers.",
)
def metrics(port: int, host: str, once: bool, only: str | None) -> None:
    """Serve metrics for Prometheus.

    From the stores: duties, outbox, tiers, memory, queues. From the processes of this machine: what
    web processes and workers count in the folder that PROMETHEUS_MULTIPROC_DIR names. Needs the
    extra `metrics`.
    """
    try:
        from prometheus_client import CollectorRegistry, generate_latest, start_http_server

        from reactions.core.instruments import processes
        from reactions.ops.metrics import StoresCollector
    except ImportError as error:
        raise missing_extra("metrics") from error

    registry = CollectorRegistry()
    with open_stores() as stores:
        collector = StoresCollector(*stores)
        if only != "processes":
            registry.register(collector)
        if only != "stores":
            processes(registry)
        if once:
            click.echo(generate_latest(registry).decode(), nl=False)
            if collector.failure is not None:
                raise collector.failure
            return
        _, thread = start_http_server(port, host, registry)
        err.print(f"serving http://{host}:{port}/metrics; press Ctrl-C to stop")
        try:
            thread.join()
        except KeyboardInterrupt:
            err.print("stopping")
