"""The command `lanebus`: its subcommands, loaded when they are used, and how every failure ends."""

import contextlib
import json
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Final, NamedTuple

import click

import lanebus
from lanebus.cli.command_line import guard, suggestion, wants_json
from lanebus.cli.exits import CliError, Exit, of_the_system, table
from lanebus.cli.standard_output import give_up, set_up
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
        return guard(command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"there is no command {args[0]!r}{suggestion(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"Exit codes: {table()}. With -o json a failure is a line of JSON on standard error.",
)
@click.version_option(with_build(lanebus.__version__, compiled=is_compiled()), prog_name="lanebus")
def cli() -> None:
    """A message bus for game backends: three priority lanes, and no event lost in silence."""


def run(arguments: Sequence[str]) -> int:
    """Run one command and return the process' exit code.

    A failure is told on standard error: in one line, or as JSON where the command was to write JSON:
    ``{"error": {"code": 69, "name": "unavailable", "message": ...}}``.
    """
    as_json = wants_json(arguments)

    def complain(message: str, code: int) -> int:
        _complain(message, code, as_json=as_json)
        return code

    try:
        result = cli.main(args=list(arguments), prog_name="lanebus", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else Exit.OK
    except CliError as error:
        if error.code == Exit.CANNOT_WRITE:
            give_up()
        return complain(error.message, error.code)
    except click.ClickException as error:
        if as_json:
            return complain(error.format_message(), error.exit_code)
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return Exit.INTERRUPTED
    except (BrokenPipeError, SystemExit):
        # The second is what click makes of the first; it ends nothing else so in this mode, and neither do commands.
        give_up()
        return Exit.BROKEN_PIPE
    except Exception as error:
        foreseen = of_the_system(error)
        if foreseen is not None:
            return complain(*foreseen)
        if os.environ.get(DEBUG_VARIABLE):
            traceback.print_exc()
        text = " ".join(str(error).split())
        return complain(
            f"internal fault: {type(error).__name__}: {text}; set {DEBUG_VARIABLE}=1 to see where",
            Exit.INTERNAL,
        )


def _complain(message: str, code: int, *, as_json: bool) -> None:
    if as_json:
        text = json.dumps({"error": {"code": int(code), "name": Exit(code).name.lower(), "message": message}})
    else:
        text = f"lanebus: {escape(message)}"
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def main() -> None:
    """The entry point of the `lanebus` command."""
    set_up()
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
