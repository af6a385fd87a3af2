"""`eventfabric formats`: which formats streams require, and who knows which; require newer ones, for good."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Final

import typer

from eventfabric.cli.connection import Connection, Json
from eventfabric.cli.declared import complain_of_unread
from eventfabric.cli.exit_codes import NOT_SO
from eventfabric.cli.options import Stream, grouped
from eventfabric.cli.output import complain, say, show_json, show_table
from eventfabric.cli.user import user_name

if TYPE_CHECKING:
    from eventfabric.formats import Formats
    from eventfabric.model import Region
    from eventfabric.services.operations.declared import RegionDeclared
    from eventfabric.services.operations.formats import FormatRaise

_COLUMNS: Final = ("stream", "region", "who", "state", "version", "reads", "writes")

app = typer.Typer(
    no_args_is_help=True, help="Show which formats streams require and who knows which; require newer ones."
)


@app.command("list")
@grouped
def list_(
    stream: Annotated[
        str | None, typer.Argument(help="Only this stream. Default: all of the Region.")
    ] = None,
    *,
    connection: Connection,
    json: Json = False,
) -> None:
    """Show which formats a stream requires in each Region, and which its functions and this version know.

    Example: eventfabric formats list orders
    """
    from eventfabric.formats import OWN_FORMATS
    from eventfabric.version import VERSION

    every = {own.name: _formats_of(connection, own.name).look() for own in connection.streams(stream)}
    rows = [row for name, looks in every.items() for own in looks for row in _rows(name, own)]
    if json:
        own = {"version": VERSION, "reads": OWN_FORMATS.reads, "writes": OWN_FORMATS.writes}
        show_json({"own": own, "formats": [dict(zip(_COLUMNS, row, strict=True)) for row in rows]})
    else:
        show_table(connection.topology.fabric, _COLUMNS, rows)
        say(
            f"this version, {VERSION}, reads formats up to {OWN_FORMATS.reads}, writes up to {OWN_FORMATS.writes}"
        )
    if complain_of_unread(every.values()):
        raise typer.Exit(NOT_SO)


@app.command("raise")
@grouped
def raise_(
    stream: Stream,
    *,
    reads: Annotated[
        int, typer.Option(min=1, help="Format that everything that reads the stream must be able to read.")
    ] = 1,
    writes: Annotated[
        int,
        typer.Option(
            min=1, help="Format in which everything that writes must write; readers must know it before."
        ),
    ] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check only; change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    connection: Connection,
    json: Json = False,
) -> None:
    """Require newer formats of whoever reads or writes a stream, in every Region. There is no way back.

    Refused as long as anything that is declared does not know them. Readers come first; writers four minutes later.
    It may be interrupted and repeated.

    Example: eventfabric formats raise orders --reads 2
    """
    from eventfabric.formats import Formats

    wanted = Formats(reads, writes)
    if wanted == Formats():
        raise typer.BadParameter("allowed: --reads, --writes or both, from 2 on")
    formats = _formats_of(connection, stream)
    looks = formats.look()
    formats.check(looks, wanted)
    raised: list[Region] = []
    if not dry_run:
        if not yes:
            _confirm(stream, wanted, as_json=json)
        raised = formats.carry_out(looks, wanted)
    _report(formats, raised, dry_run=dry_run, as_json=json)


def _formats_of(connection: Connection, stream: str) -> "FormatRaise":
    from eventfabric.aws.clients import CONNECTIONS
    from eventfabric.formats import OWN_FORMATS
    from eventfabric.runtime.threads import Threads
    from eventfabric.services.operations.formats import FormatRaise

    ports = connection.unchecked_ports()
    return FormatRaise(
        connection.topology,
        connection.stream(stream),
        ports,
        by=user_name(),
        request_id=ports.entropy.bytes(8).hex(),
        side_by_side=Threads(CONNECTIONS),
        known=OWN_FORMATS,
    )


def _confirm(stream: str, wanted: "Formats", *, as_json: bool) -> None:
    if as_json:
        raise typer.BadParameter("--json needs --dry-run or --yes")
    numbers = " and ".join(
        f"{number} of {who}"
        for number, who in ((wanted.reads, "readers"), (wanted.writes, "writers"))
        if number > 1
    )
    typer.confirm(f"Require format {numbers} of {stream} in every Region, for good?", abort=True)


def _report(formats: "FormatRaise", raised: "list[Region]", *, dry_run: bool, as_json: bool) -> None:
    """Report where they were raised, and where that is not known."""
    if as_json:
        show_json({"stream": formats.stream.name, "raised": raised, "unanswered": formats.unanswered})
    elif dry_run:
        say("nothing stands against it")
    elif raised:
        say(f"raised in {', '.join(raised)}")
    elif not formats.unanswered:
        say("they are required already, in every Region")
    for region, error in formats.unanswered.items():
        complain(f"not known to be raised in {region}, so run it again: {error}")
    if formats.unanswered:
        raise typer.Exit(NOT_SO)


def _rows(stream: str, own: "RegionDeclared") -> "Iterator[tuple[object, ...]]":
    """Yield what is required in a Region, what its own functions know, and what subscriptions do."""
    from eventfabric.services.operations.formats import known_formats

    if own.declaration is None:
        yield stream, own.region, "nothing declared", "", "", "", ""
        return
    facts = own.declaration.stream
    yield stream, own.region, "required", "", facts.raised_with, facts.reads_required, facts.writes_required
    if facts.is_deployed:
        yield stream, own.region, "functions of the cell", "", "", facts.reads_max, facts.writes
    for known in known_formats(own.declaration):
        who = f"subscription {known.name}"
        yield stream, own.region, who, known.state.value, known.version, known.reads_max, known.writes
