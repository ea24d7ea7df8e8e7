"""The command `lanebus metrics`: a broker's metrics for Prometheus, once or as a server."""

from __future__ import annotations

from typing import Any

import click

from lanebus.cli.control_client import ControlClient, control_options
from lanebus.cli.metrics_server import MetricsServer, Readings, address_of
from lanebus.cli.metrics_text import exposition


@click.command(
    epilog="docs/metrics.md lists them all. /healthz answers 200 while the broker is ok or degraded, else 503, with "
    "the reasons; while the broker is gone /metrics has lanebus_up 0 alone."
)
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help="Serve /metrics and /healthz there until Ctrl-C; the broker is asked once a second at most.",
)
@control_options
def metrics(listen: str | None, server: str, timeout_s: float) -> None:
    """Print a broker's metrics in the text format of Prometheus, or serve them."""
    with ControlClient(server, timeout_s=timeout_s) as client:
        if listen is None:
            click.echo(exposition(client.request("metrics")), nl=False)
            return

        def ask() -> dict[str, Any]:
            answer: dict[str, Any] = client.request("metrics")
            return answer

        with MetricsServer(address_of(listen), Readings(ask)) as serving:
            click.echo(f"= serving {serving.url}/metrics and /healthz of the broker at {server}", err=True)
            serving.serve_forever()
