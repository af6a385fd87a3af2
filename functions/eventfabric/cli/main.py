"""The entry point: the commands, and one clear sentence with an exit code for whatever goes wrong."""

import os
import sys
from io import TextIOWrapper
from typing import Annotated

import typer

from eventfabric.cli import (
    backfill,
    dead_letters,
    definition,
    lanes,
    local,
    parked,
    queues,
    steps,
    subscriptions,
)
from eventfabric.cli.cost import cost
from eventfabric.cli.failover import failback, failover
from eventfabric.cli.output import complain, say, say_lines
from eventfabric.cli.prove import prove
from eventfabric.cli.publish import publish
from eventfabric.cli.reconcile import reconcile
from eventfabric.cli.show import show
from eventfabric.cli.simulate import simulate
from eventfabric.errors import (
    BackfillError,
    DefinitionError,
    EventFabricError,
    FailoverError,
    InvalidEventError,
    QuarantineRefusedError,
    ReplayRefusedError,
    SettingError,
    UnknownNameError,
    WrongRegionError,
)

FAILED = 1
BAD_INPUT = 2
INTERRUPTED = 130
BAD_INPUT_ERRORS = (
    BackfillError,
    DefinitionError,
    FailoverError,
    InvalidEventError,
    QuarantineRefusedError,
    ReplayRefusedError,
    SettingError,
    UnknownNameError,
    WrongRegionError,
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Publish events and see what became of them.",
)
app.command()(publish)
app.command()(show)
app.command()(reconcile)
app.command()(prove)
app.command()(failover)
app.command()(failback)
app.command()(simulate)
app.command()(cost)
app.add_typer(lanes.app, name="lanes")
app.add_typer(backfill.app, name="backfill")
app.add_typer(subscriptions.app, name="subscriptions")
app.add_typer(parked.app, name="parked")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(steps.app, name="steps")
app.add_typer(queues.app, name="queues")
app.add_typer(definition.app, name="definition")
app.add_typer(local.app, name="local")


@app.callback(invoke_without_command=True)
def version(
    context: typer.Context,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Publish events and see what became of them."""
    if show_version:
        from importlib.metadata import version as version_of

        say(version_of("eventfabric"))
        raise typer.Exit
    if context.invoked_subcommand is None:
        say_lines(context.get_help())
        raise typer.Exit(BAD_INPUT)


def main() -> None:
    """Run; never a traceback for what a user or the network did."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a key may hold what a terminal's encoding lacks
    try:
        app()
    except BAD_INPUT_ERRORS as error:
        complain(str(error))
        sys.exit(BAD_INPUT)
    except OSError as error:
        complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        sys.exit(FAILED)
    except EventFabricError as error:
        complain(str(error))
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:  # botocore's own errors: known by name, so that --help need not import it
        if not type(error).__module__.startswith("botocore") or os.environ.get("EVENTFABRIC_TRACEBACK"):
            raise
        complain(str(error))
        sys.exit(FAILED)


if __name__ == "__main__":
    main()
