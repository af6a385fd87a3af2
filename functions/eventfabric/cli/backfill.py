"""`eventfabric backfill`: copy what a Region's log lacks; show, cancel and resume backfills."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Annotated

import typer

from eventfabric.cli.connection import Access, Definition, Endpoint, Json, Profile, RegionName
from eventfabric.cli.options import StreamIfSeveral, grouped
from eventfabric.cli.output import complain, left_out, say, show_json, show_table, stderr
from eventfabric.cli.user import user_name
from eventfabric.errors import EventFabricError, PortError, UnknownNameError

if TYPE_CHECKING:
    from eventfabric.model.backfill import Backfill, LaneReport, Report, SliceProgress
    from eventfabric.services.backfill.lifecycle import Backfiller
    from eventfabric.services.backfill.request import BackfillRequest

app = typer.Typer(invoke_without_command=True, no_args_is_help=True)

Id = Annotated[
    str, typer.Argument(metavar="ID", help="The backfill's id, as `backfill` and `backfill show` print it.")
]
Rate = Annotated[float | None, typer.Option(help="Limit, in events a second, for all workers together.")]
Workers = Annotated[
    int | None, typer.Option(min=1, max=1_000, help="Slices to copy at the same time. Default: 8.")
]
FromProfile = Annotated[
    str | None,
    typer.Option("--from-profile", help="AWS profile for reading the source. Default: that of --profile."),
]
FromEndpoint = Annotated[
    str | None, typer.Option("--from-endpoint-url", help="Endpoint of the source, if it is a different one.")
]
_COLUMNS = ("lane", "slices", "done", "missing", "copied records", "copied events", "failure")


@dataclass(frozen=True)
class _Place:
    """Options that say how to reach the fabric, and the source of a backfill."""

    access: Access
    from_profile: str | None = None
    from_endpoint_url: str | None = None

    @classmethod
    def of(
        cls,
        definition: Definition = None,
        profile: Profile = None,
        endpoint_url: Endpoint = None,
        from_profile: FromProfile = None,
        from_endpoint_url: FromEndpoint = None,
    ) -> "_Place":
        """Make it from the options. Raises typer.BadParameter."""
        return cls(Access.of(definition, profile, endpoint_url), from_profile, from_endpoint_url)

    def backfiller(self, target: str, source: str) -> "Backfiller":
        """Make the backfiller of a target Region that copies from a source Region."""
        connection = self.access.to(target)
        if self.from_profile is None and self.from_endpoint_url is None:
            return connection.operations().backfills
        from eventfabric.aws.clients import Clients, session_for
        from eventfabric.aws.log import AwsLog
        from eventfabric.services.backfill.lifecycle import Backfiller

        session = session_for(self.from_endpoint_url, profile=self.from_profile or self.access.profile)
        clients = Clients(source, session=session, endpoint_url=self.from_endpoint_url)
        options = {"profile": self.from_profile, "endpoint": self.from_endpoint_url}
        return Backfiller(
            connection.topology,
            connection.ports(),
            source_log=lambda stream: AwsLog(clients.dynamodb, stream.table.name),
            elsewhere=", ".join(f"{name} {value}" for name, value in options.items() if value),
        )

    def find(self, backfill_id: str) -> "tuple[Backfiller, Backfill]":
        """Find a backfill by its id, in whichever Region it copies into. Raises UnknownNameError."""
        topology = self.access.to(None).topology
        known: list[str] = []
        unreachable: list[PortError] = []
        for region in topology.regions:
            try:
                backfiller = self.backfiller(region, region)
                every = backfiller.all(unreadable=left_out)
                backfill = next((candidate for candidate in every if candidate.id == backfill_id), None)
                if backfill is not None:
                    backfiller = self.backfiller(backfill.target, backfill.source)
                    return backfiller, backfiller.find(backfill_id)
                known += [candidate.id for candidate in every]
            except PortError as error:
                unreachable.append(error)
        if unreachable:
            raise unreachable[0]
        raise UnknownNameError("backfill", backfill_id, sorted(set(known)))


@app.callback()
@grouped
def backfill(
    context: typer.Context,
    *,
    stream: StreamIfSeveral = None,
    source: Annotated[str | None, typer.Option("--from", help="Region to copy from.")] = None,
    target: Annotated[str | None, typer.Option("--to", help="Region to copy into.")] = None,
    lanes: Annotated[
        list[str] | None,
        typer.Option(metavar="LANE[@START-END]", help="Only this lane, or part of it. May be repeated."),
    ] = None,
    rate: Rate = None,
    workers: Workers = None,
    slice_events: Annotated[
        int | None, typer.Option("--slice-events", min=1, help="Approximate number of events in a slice.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what is missing; copy nothing.")] = False,
    place: _Place,
    json: Json = False,
) -> None:
    """Copy the records that a Region's log lacks from another Region. Each is verified; nothing is overwritten.

    A backfill can be interrupted, repeated, and run twice at the same time.

    Example: eventfabric backfill --stream orders --from us-east-1 --to eu-west-1 --rate 20000 --dry-run
    """
    if context.invoked_subcommand is not None:
        return
    from eventfabric.limits import BACKFILL_WORKERS
    from eventfabric.services.backfill.request import BackfillRequest, ranges_of

    if source is None or target is None:
        raise typer.BadParameter("give --from and --to, or one of: resume, cancel, show")
    name = place.access.to(target).stream(stream).name
    wanted = BackfillRequest(
        name, source, ranges_of(lanes or ()), rate, workers or BACKFILL_WORKERS, slice_events
    )
    backfiller = place.backfiller(target, source)
    if dry_run:
        _preview(backfiller, wanted, as_json=json)
    else:
        _run(backfiller, backfiller.begin(wanted, by=user_name()), as_json=json)


@app.command()
@grouped
def resume(
    backfill_id: Id,
    *,
    rate: Rate = None,
    workers: Workers = None,
    place: _Place,
    json: Json = False,
) -> None:
    """Continue a backfill that was interrupted, cancelled or left incomplete.

    Example: eventfabric backfill resume 20261114t093000-ab12
    """
    backfiller, backfill = place.find(backfill_id)
    _run(backfiller, backfiller.resume(backfill.id, rate=rate, workers=workers), as_json=json)


@app.command()
@grouped
def cancel(backfill_id: Id, *, access: Access, json: Json = False) -> None:
    """Stop the workers of a backfill, wherever they run. Records that were copied stay.

    Example: eventfabric backfill cancel 20261114t093000-ab12
    """
    backfiller, backfill = _Place(access).find(backfill_id)
    cancelled = backfiller.cancel(backfill.id)
    if json:
        show_json(_backfill_json(cancelled))
    else:
        say(
            f"{cancelled.id} is {cancelled.state.value}; `eventfabric backfill resume {cancelled.id}` continues it"
        )


@app.command()
@grouped
def show(
    *,
    backfill_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="The backfill's id. Default: list all backfills.")
    ] = None,
    access: Access,
    region: RegionName = None,
    json: Json = False,
) -> None:
    """List all backfills, or show the progress of one, lane by lane.

    Example: eventfabric backfill show 20261114t093000-ab12
    """
    if backfill_id is not None:
        backfiller, backfill = _Place(access).find(backfill_id)
        _show_report(backfiller.report(backfill.id), as_json=json)
        return
    connection = access.to(region)
    every = connection.operations().backfills.all(unreadable=left_out)
    if json:
        show_json([_backfill_json(backfill) for backfill in every])
    else:
        rows = [
            (
                backfill.id,
                backfill.stream,
                backfill.source,
                backfill.target,
                backfill.state.value,
                backfill.by,
            )
            for backfill in every
        ]
        show_table(
            f"backfills known in {connection.region}", ("id", "stream", "from", "to", "state", "by"), rows
        )


def _run(backfiller: "Backfiller", begun: "Backfill", *, as_json: bool) -> None:
    """Copy until the backfill is done, with progress on a terminal. If it is not completed, say how to continue it."""
    from eventfabric.sdk.backfill import run_backfill

    go_on = f"`eventfabric backfill resume {begun.id}` continues it"
    try:
        if not as_json:
            say(f"backfill {begun.id}: {begun.stream}, {begun.source} to {begun.target}")
        with _progress() as (planned, watch):
            report = run_backfill(backfiller, begun.id, planned=planned, watch=watch)
    except KeyboardInterrupt:
        complain(f"interrupted; {go_on}")
        raise
    except EventFabricError as error:
        complain(f"{error}; {go_on}")
        raise typer.Exit(1) from error
    _show_report(report, as_json=as_json)
    if not report.is_complete:
        complain(f"{begun.id} is {report.backfill.state.value}; {go_on}")
        raise typer.Exit(1)


@contextmanager
def _progress() -> "Iterator[tuple[Callable[[list[SliceProgress]], None], Callable[[SliceProgress], None]]]":
    """Show progress on a terminal. Yields a callback for planned slices and one for copied pages, for any thread."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        task = bar.add_task("planning", total=None)
        reached: dict[tuple[str, int], int] = {}
        lock = Lock()

        def planned(slices: "list[SliceProgress]") -> None:
            for progress in slices:
                reached[str(progress.slice.lane), progress.slice.start.sequence] = progress.at.sequence
            events = sum(progress.slice.end.sequence - progress.at.sequence for progress in slices)
            bar.update(task, description="events", total=events)

        def watch(progress: "SliceProgress") -> None:
            place = str(progress.slice.lane), progress.slice.start.sequence
            with lock:
                moved = progress.at.sequence - reached.get(place, progress.slice.start.sequence)
                reached[place] = progress.at.sequence
            bar.advance(task, moved)

        yield planned, watch


def _preview(backfiller: "Backfiller", wanted: "BackfillRequest", *, as_json: bool) -> None:
    from eventfabric.model.backfill import LaneReport

    lanes: dict[str, LaneReport] = {}
    with stderr.status("comparing the logs"):
        for progress in backfiller.preview(wanted):
            lanes.setdefault(str(progress.slice.lane), LaneReport()).add(progress)
    missing = sum(lane.missing for lane in lanes.values())
    if as_json:
        show_json({"dry_run": True, "missing": missing, "lanes": _lanes_json(lanes)})
    else:
        show_table(f"missing in {backfiller.target}", _COLUMNS, _rows(lanes))
        say(f"{missing:,} events of {len(lanes):,} lanes would be copied from {wanted.source}")
    if any(lane.failures for lane in lanes.values()):
        raise typer.Exit(1)


def _show_report(report: "Report", *, as_json: bool) -> None:
    lanes = {str(lane): of for lane, of in report.lanes.items()}
    total = report.total
    if as_json:
        show_json(
            {
                **_backfill_json(report.backfill),
                "is_complete": report.is_complete,
                **_lane_json(total),
                "lanes": _lanes_json(lanes),
            }
        )
        return
    show_table(report.backfill.id, _COLUMNS, _rows(lanes))
    say(
        f"{report.backfill.state.value}: {total.slices_done:,} of {total.slices:,} slices, "
        f"{total.copied_records:,} records with {total.copied_events:,} events copied"
    )


def _rows(lanes: "dict[str, LaneReport]") -> list[tuple[object, ...]]:
    return [
        (
            lane,
            of.slices,
            of.slices_done,
            of.missing,
            of.copied_records,
            of.copied_events,
            "; ".join(of.failures),
        )
        for lane, of in lanes.items()
    ]


def _lanes_json(lanes: "dict[str, LaneReport]") -> list[dict[str, object]]:
    return [{"lane": lane, **_lane_json(of)} for lane, of in lanes.items()]


def _lane_json(of: "LaneReport") -> dict[str, object]:
    return {
        "slices": of.slices,
        "slices_done": of.slices_done,
        "missing": of.missing,
        "copied_records": of.copied_records,
        "copied_events": of.copied_events,
        "failures": of.failures,
    }


def _backfill_json(backfill: "Backfill") -> dict[str, object]:
    return {
        "backfill": backfill.id,
        "stream": backfill.stream,
        "from": backfill.source,
        "to": backfill.target,
        "ranges": [str(lane_range) for lane_range in backfill.ranges],
        "rate": backfill.rate,
        "workers": backfill.workers,
        "state": backfill.state.value,
        "by": backfill.by,
        "started_ms": backfill.started_ms,
        "elsewhere": backfill.elsewhere,
    }
