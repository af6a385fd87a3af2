"""The entry point: the commands, and one clear sentence with an exit code for whatever goes wrong."""

import os
import sys
from io import TextIOWrapper
from typing import Annotated, NoReturn

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
from eventfabric.cli.exit_codes import (
    BAD_INPUT,
    CLOSED_PIPE,
    DEFECT,
    HELP,
    INTERRUPTED,
    code_of,
    is_botocore,
)
from eventfabric.cli.failover import failback, failover
from eventfabric.cli.output import ClosedPipeError, complain, let_go_of_output, say, say_lines
from eventfabric.cli.prove import prove
from eventfabric.cli.publish import publish
from eventfabric.cli.reconcile import reconcile
from eventfabric.cli.show import show
from eventfabric.cli.simulate import simulate
from eventfabric.errors import EventFabricError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Publish events and see what became of them.",
    epilog=HELP,
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
    except SystemExit as ended:
        sys.exit(_closed_by_reader() or ended.code)
    except ClosedPipeError:
        let_go_of_output()
        sys.exit(CLOSED_PIPE)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:  # the last place where anything can be said of it
        _end(error)


def _closed_by_reader() -> int | None:
    """The exit code where typer found, as it showed help, that nobody reads: it exchanges the output then."""
    if type(sys.stdout).__name__ != "PacifyFlushWrapper":
        return None
    let_go_of_output()
    return CLOSED_PIPE


def _end(error: Exception) -> NoReturn:
    """End with one complaint, and the code that goes with the error."""
    expected = isinstance(error, EventFabricError | OSError | UnicodeEncodeError) or is_botocore(error)
    if os.environ.get("EVENTFABRIC_TRACEBACK"):
        raise error
    if isinstance(error, OSError) and error.filename:
        complain(f"{error.filename}: {error.strerror}")
    elif expected:
        complain(str(error))
    else:
        complain(f"a defect: {type(error).__name__}: {error}; EVENTFABRIC_TRACEBACK=1 shows where")
    sys.exit(code_of(error) if expected else DEFECT)


if __name__ == "__main__":
    main()
