"""The command `lanebus`: its subcommands, loaded when they are used, and how every failure ends."""

import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Final, NamedTuple

import click

import lanebus
from lanebus.cli.exits import CliError, Exit
from lanebus.cli.text import escape
from lanebus.wire.build import is_compiled, with_build

DEBUG_VARIABLE: Final = "LANEBUS_DEBUG"
"""The environment variable that, when set, shows the traceback of an internal fault."""


class _Entry(NamedTuple):
    module: str
    attribute: str
    summary: str


COMMANDS: Final = {
    "broker": _Entry("lanebus.cli.broker", "broker", "Run a broker."),
    "status": _Entry(
        "lanebus.cli.status", "status", "Show what a broker does, and how well it is, on one screen."
    ),
    "queues": _Entry("lanebus.cli.inspect", "queues", "Show what waits for whom."),
    "peers": _Entry("lanebus.cli.peers", "peers", "Show who is attached, and how well."),
    "stats": _Entry("lanebus.cli.stats", "stats", "Show what peers send and receive, by lane."),
    "services": _Entry("lanebus.cli.services", "services", "Show the instances of all services."),
    "groups": _Entry("lanebus.cli.services", "groups", "Show groups, or the members of one."),
    "quality": _Entry("lanebus.cli.quality", "quality", "Show how one peer's connection was, and why."),
    "limits": _Entry("lanebus.cli.limits", "limits", "Show and change what peers may send and receive."),
    "why": _Entry("lanebus.cli.why", "why", "Say why a peer is late, or gone."),
    "dead": _Entry("lanebus.cli.inspect", "dead", "Show events that their receivers did not survive."),
    "alerts": _Entry(
        "lanebus.cli.alerts", "alerts", "Show what the broker warns of, and what it has warned of."
    ),
    "trace": _Entry("lanebus.cli.tracing", "trace", "Follow what travels between the broker and one peer."),
    "log": _Entry("lanebus.cli.log", "log", "Change the level of a running broker's log."),
    "metrics": _Entry("lanebus.cli.metrics", "metrics", "Print metrics for Prometheus, or serve them."),
    "drain": _Entry("lanebus.cli.drain", "drain", "Let a broker settle what is under way, and end."),
    "audit": _Entry("lanebus.cli.inspect", "audit", "Check that every event is accounted for."),
    "demo": _Entry("lanebus.cli.demo", "demo", "Run a broker, an arena and some players on this machine."),
    "replay": _Entry(
        "lanebus.cli.replay", "replay", "Play recorded matches through a broker and check each delivery."
    ),
    "torture": _Entry(
        "lanebus.cli.torture", "torture", "Hurt links and processes, and prove that nothing is lost."
    ),
}
"""The subcommands: where each is implemented, and what the list of commands says about it."""


class _LazyGroup(click.Group):
    """Imports a subcommand when it is asked for, so that `lanebus --help` and a quick `status` start quickly."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command = getattr(import_module(entry.module), entry.attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 what was found is bad, 2 usage, 65 bad input, 66 unreadable input, 69 no broker, "
    "71 port busy, 75 timeout, 78 bad configuration, 130 Ctrl-C.",
)
@click.version_option(with_build(lanebus.__version__, compiled=is_compiled()), prog_name="lanebus")
def cli() -> None:
    """A message bus for game backends: three priority lanes, and no event lost in silence."""


def run(arguments: Sequence[str]) -> int:
    """Run one command and return the process' exit code; failures are told in one line on standard error."""
    try:
        result = cli.main(args=list(arguments), prog_name="lanebus", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else Exit.OK
    except CliError as error:
        _complain(error.message)
        return error.code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return Exit.INTERRUPTED
    except (BrokenPipeError, SystemExit):
        # The second is what click makes of the first; it ends nothing else so in this mode, and neither do commands.
        # Python would try to flush once more at its end, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.BROKEN_PIPE
    except Exception as error:
        if os.environ.get(DEBUG_VARIABLE):
            traceback.print_exc()
        text = " ".join(str(error).split())
        _complain(f"internal fault: {type(error).__name__}: {text}; set {DEBUG_VARIABLE}=1 to see where")
        return Exit.INTERNAL


def _complain(message: str) -> None:
    try:
        print(f"lanebus: {escape(message)}", file=sys.stderr, flush=True)
    except OSError:
        pass


def main() -> None:
    """The entry point of the `lanebus` command."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
