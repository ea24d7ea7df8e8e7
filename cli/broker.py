"""The command `lanebus broker`: a broker in this process, until a signal ends it."""

import gc
import json
import os
import signal
import time
from pathlib import Path
from types import FrameType

import click
import msgspec

from lanebus.broker.descriptors import OpenFilesError
from lanebus.broker.driver import BindError, Broker
from lanebus.broker.notify import Notifier
from lanebus.cli.exits import CliError, Exit
from lanebus.cli.logs import set_up_logging
from lanebus.cli.parent import PARENT_OPTION, die_with
from lanebus.conf.load import ConfigError, load
from lanebus.conf.model import Config

FREEZE_S = 1.0
"""How often what has come to stay is kept from the interpreter's collector."""


@click.command(
    epilog="Settings that FILE leaves out keep their defaults. SIGTERM and Ctrl-C drain the broker: "
    "peers hold new events, what is under way is settled, for at most drain_s; a second signal ends it at once."
)
@click.option(
    "-c",
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    envvar="LANEBUS_CONFIG",
    show_envvar=True,
    metavar="FILE",
    help="TOML file with settings.",
)
@click.option(
    "-p",
    "--port",
    "critical_port",
    type=click.IntRange(1, 65_532),
    metavar="N",
    help="Listen on N (critical), N+1 (normal), N+2 (low) and N+3 (control) instead of the configured ports.",
)
@click.option("--free-ports", is_flag=True, help="Listen on ports that the system chooses.")
@click.option(
    "--announce",
    is_flag=True,
    help='Once bound, print one line of JSON: {"pid": ..., "addresses": {"critical": "tcp://...", ...}}.',
)
@click.option(PARENT_OPTION, "parent_pid", type=int, hidden=True)
def broker(
    config_path: Path | None,
    critical_port: int | None,
    free_ports: bool,
    announce: bool,
    parent_pid: int | None,
) -> None:
    """Run a broker until SIGTERM or Ctrl-C."""
    if critical_port is not None and free_ports:
        raise click.UsageError("--port and --free-ports exclude each other")
    if parent_pid is not None:
        die_with(parent_pid)
    try:
        config = load(config_path)
    except ConfigError as error:
        raise CliError(str(error), Exit.CONFIG) from None
    if critical_port is not None:
        config = on_ports_from(config, critical_port)
    elif free_ports:
        config = config.on_free_ports()
    set_up_logging(config.log.level, config.log.format, os.environ)

    try:
        running = Broker(config, notifier=Notifier.from_environ(os.environ))
    except OpenFilesError as error:
        raise CliError(str(error), Exit.CONFIG) from None
    _stop_on_signals(running)
    try:
        running.bind()
        gc.collect()
        _keep_from_collector(running, time.monotonic())
        if announce:
            print(json.dumps({"pid": os.getpid(), "addresses": running.addresses}), flush=True)
        running.run()
    except BindError as error:
        raise CliError(
            f"{error}; stop what listens there, or choose other ports with --port or --free-ports",
            Exit.PORT_BUSY,
        ) from None
    finally:
        running.close()


def _keep_from_collector(running: Broker, now: float) -> None:
    """Spare the interpreter's collector, now and every second, what has come to stay.

    To look through all that thousands of sessions are takes it tens of milliseconds, in which the loop stands still. It
    would find nothing: who has gone leaves nothing that refers to itself, and is given back without it.
    """
    gc.freeze()
    running.core.timers.at(now + FREEZE_S, lambda at: _keep_from_collector(running, at))


def on_ports_from(config: Config, critical_port: int) -> Config:
    """`config` with the critical lane on `critical_port`, and normal, low and control on the three that follow."""
    replace = msgspec.structs.replace
    lanes = config.lanes
    return replace(
        config,
        lanes=replace(
            lanes,
            critical=replace(lanes.critical, port=critical_port),
            normal=replace(lanes.normal, port=critical_port + 1),
            low=replace(lanes.low, port=critical_port + 2),
        ),
        control=replace(config.control, port=critical_port + 3),
    )


def _stop_on_signals(running: Broker) -> None:
    """Let the first SIGINT or SIGTERM stop the broker in order, and the second end the process."""

    def stop(number: int, frame: FrameType | None) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_DFL)
        running.stop()

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, stop)
