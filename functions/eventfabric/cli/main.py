"""The entry point of `eventfabric`: its commands. Whatever goes wrong ends in one clear sentence and an exit code."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from threading import current_thread, main_thread
from typing import Annotated, Final, NoReturn

import typer

from eventfabric.cli import (
    backfill,
    credits,
    dead_letters,
    definition,
    deployment,
    formats,
    lanes,
    local,
    parked,
    queues,
    scale,
    schemas,
    steps,
    subscriptions,
    types,
)
from eventfabric.cli.catalogue.command import catalogue
from eventfabric.cli.check import check
from eventfabric.cli.cost import cost
from eventfabric.cli.declared import declared
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
from eventfabric.cli.new import new
from eventfabric.cli.output import ClosedPipeError, complain, let_go_of_output, say, say_lines
from eventfabric.cli.prove import prove
from eventfabric.cli.publish import publish
from eventfabric.cli.reconcile import reconcile
from eventfabric.cli.show import show
from eventfabric.cli.simulate import simulate
from eventfabric.deprecations import PartKind, deprecated_among
from eventfabric.errors import EventFabricError
from eventfabric.version import VERSION

_COMMAND_WORDS_MAX: Final = 2
"""Most words of a command's name."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Make, test and deploy a fabric; publish events, see what became of them, and operate it.",
    epilog=HELP,
)
app.command()(new)
app.command()(check)
app.command(context_settings=deployment.PASSED_ON)(deployment.synth)
app.command(context_settings=deployment.PASSED_ON)(deployment.deploy)
app.command(context_settings=deployment.PASSED_ON)(deployment.diff)
app.command(context_settings=deployment.PASSED_ON)(deployment.destroy)
app.command(context_settings=deployment.PASSED_ON)(deployment.bootstrap)
app.command()(publish)
app.command()(show)
app.command()(declared)
app.command()(catalogue)
app.command()(reconcile)
app.command()(prove)
app.command()(failover)
app.command()(failback)
app.command()(simulate)
app.command()(cost)
app.add_typer(lanes.app, name="lanes")
app.add_typer(backfill.app, name="backfill")
app.add_typer(subscriptions.app, name="subscriptions")
app.add_typer(credits.app, name="credits")
app.add_typer(parked.app, name="parked")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(steps.app, name="steps")
app.add_typer(scale.app, name="scale")
app.add_typer(queues.app, name="queues")
app.add_typer(types.app, name="types")
app.add_typer(formats.app, name="formats")
app.add_typer(schemas.app, name="schemas")
app.add_typer(definition.app, name="definition")
app.add_typer(local.app, name="local")


@app.callback(invoke_without_command=True)
def version(
    context: typer.Context,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Make, test and deploy a fabric; publish events, see what became of them, and operate it."""
    if show_version:
        say(VERSION)
        raise typer.Exit
    if context.invoked_subcommand is None:
        say_lines(context.get_help())
        raise typer.Exit(BAD_INPUT)


def main() -> None:
    """Run the command line. A mistake of the user or a failure of the network never ends in a traceback."""
    if isinstance(sys.stdout, TextIOWrapper):
        # A key may contain characters that the terminal's encoding lacks.
        sys.stdout.reconfigure(errors="backslashreplace")
    _complain_of_deprecated(sys.argv[1:])
    try:
        with _interruptible():
            app()
    except SystemExit as ended:
        _exit(_closed_by_reader() or ended.code)
    except ClosedPipeError:
        let_go_of_output()
        sys.exit(CLOSED_PIPE)
    except KeyboardInterrupt:
        _exit(INTERRUPTED)
    except Exception as error:  # the last place where an error can be reported
        _end(error)


def _complain_of_deprecated(words: list[str]) -> None:
    """Say that a command will go, on standard error, and go on: what it prints for programs stays as it is."""
    names = (" ".join(words[: count + 1]) for count in range(_COMMAND_WORDS_MAX))
    for part in deprecated_among(PartKind.COMMAND, names):
        complain(str(part))


def _exit(code: str | int | None) -> NoReturn:
    """Exit. After an interruption, nothing is said of what fails on the way out.

    Ctrl-C reaches child processes, too: what would end them at exit, such as the CDK's Node, finds them gone.
    """
    if code == INTERRUPTED:
        sys.unraisablehook = lambda _: None
    sys.exit(code)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Take SIGTERM and SIGHUP for Ctrl-C: they end child processes and delete temporary folders, as that does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    # A signal that somebody ignores, as nohup does, or handles stays so. Only a main thread can handle any.
    ours = [s for s in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(s) is signal.SIG_DFL]
    if current_thread() is not main_thread():
        ours = []
    for number in ours:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _closed_by_reader() -> int | None:
    """Return CLOSED_PIPE if nobody read the help that typer printed: typer then replaces standard output."""
    if type(sys.stdout).__name__ != "PacifyFlushWrapper":
        return None
    let_go_of_output()
    return CLOSED_PIPE


def _end(error: Exception) -> NoReturn:
    """Print one complaint, and exit with the code of the error."""
    expected = isinstance(error, EventFabricError | OSError | UnicodeEncodeError) or is_botocore(error)
    if os.environ.get("EVENTFABRIC_TRACEBACK"):
        raise error
    if isinstance(error, OSError) and error.filename:
        complain(f"{error.filename}: {error.strerror}")
    elif expected:
        complain(str(error))
    else:
        complain(
            f"a defect of this program: {type(error).__name__}: {error}; "
            "run it again with EVENTFABRIC_TRACEBACK=1 to see where"
        )
    sys.exit(code_of(error) if expected else DEFECT)


if __name__ == "__main__":
    main()
