"""`eventfabric reconcile`: make one pass of reconciliation over the streams of a Region."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from eventfabric.cli.connection import Connection, Json
from eventfabric.cli.options import OnlyStream, grouped
from eventfabric.cli.output import complain, say, show_json, show_table, stderr
from eventfabric.errors import PortError

if TYPE_CHECKING:
    from eventfabric.model.finding import Finding
    from eventfabric.model.pass_progress import PassProgress
    from eventfabric.services.reconciliation.reconcile import Reconciler
    from eventfabric.stream_topology import StreamTopology

_COLUMNS = ("finding", "stream", "lane", "subscription", "sequence", "what", "repaired")


@grouped
def reconcile(
    *,
    stream: OnlyStream = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Repair what is safe to repair. Default: only report.")
    ] = False,
    full: Annotated[
        bool,
        typer.Option("--full", help="Verify the whole log again, not only what is new since the last pass."),
    ] = False,
    first: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="PART",
            help="Begin with this part of the stream's lanes, as an interrupted pass named it. Needs --stream.",
        ),
    ] = "",
    connection: Connection,
    json: Json = False,
) -> None:
    """Check logs and cursors of a Region, and report missing or wrong records, lost doorbells and stuck keys.

    docs/regions.md explains each finding. The exit code is 1 if a finding is left that needs a person. If you interrupt
    it, it reports what it found so far, and says how to go on.

    Example: eventfabric reconcile --stream orders --repair
    """
    streams, operations = connection.streams(stream or None), connection.operations()
    _check_first(first, streams)
    findings: list[Finding] = []
    ended: BaseException | None = None
    for topology in streams:
        reconciler = operations.reconciler(topology.name)
        try:
            for finding in _pass(reconciler, topology, first, repair=repair, full=full):
                findings.append(finding)
        except (KeyboardInterrupt, PortError) as error:  # what was found so far is reported first
            ended = error
            break
    alarms = _show(connection.region, findings, as_json=json) if findings or ended is None else 0
    if ended is not None:
        if part := reconciler.progress.part:
            complain(f"not everything was looked at: go on with --stream {topology.name} --from {part}")
        raise ended
    if alarms:
        raise typer.Exit(1)


def _show(region: str, findings: "list[Finding]", *, as_json: bool) -> int:
    """Report findings. Return how many need a person."""
    alarms = sum(finding.is_alarm for finding in findings)
    if as_json:
        show_json({"region": region, "findings": [_json(finding) for finding in findings], "alarms": alarms})
        return alarms
    if findings:
        show_table(region, _COLUMNS, [_row(finding) for finding in findings])
    repaired = sum(finding.is_repaired for finding in findings)
    say(f"{len(findings):,} findings, {repaired:,} repaired, {alarms:,} need a person")
    return alarms


def _check_first(first: str, streams: "list[StreamTopology]") -> None:
    """Refuse a part that the stream does not have, or that could be of several."""
    from eventfabric.services.reconciliation.parts import parts_of

    if not first:
        return
    if len(streams) != 1:
        raise typer.BadParameter("--from needs --stream")
    names = [str(part) for part in parts_of(streams[0])]
    if first not in names:
        raise typer.BadParameter(f"--from: found {first!r}, allowed: {names[0]} to {names[-1]}")


def _pass(
    reconciler: "Reconciler", stream: "StreamTopology", first: str, *, repair: bool, full: bool
) -> "Iterator[Finding]":
    """Yield the findings of a pass, and show how far it has come."""
    from eventfabric.model.pass_progress import PassProgress
    from eventfabric.services.reconciliation.reconcile import PassOrder

    order = PassOrder(repair=repair, full=full, resumed=PassProgress(first))
    with _progress(stream) as advance:
        yield from reconciler.make(order, noted=advance)


@contextmanager
def _progress(stream: "StreamTopology") -> "Iterator[Callable[[PassProgress], None]]":
    """Show progress on a terminal. Yields what is to be told how far the pass has come."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from eventfabric.services.reconciliation.parts import parts_of

    names = [str(part) for part in parts_of(stream)]
    columns = (
        TextColumn("reconciling {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("parts"),
    )
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        task = bar.add_task(stream.name, total=len(names))
        yield lambda progress: bar.update(task, completed=names.index(progress.part))


def _row(finding: "Finding") -> tuple[object, ...]:
    return (
        finding.kind.value,
        finding.stream,
        str(finding.lane),
        finding.subscription or "",
        finding.sequence,
        finding.detail,
        "yes" if finding.is_repaired else "",
    )


def _json(finding: "Finding") -> dict[str, object]:
    return {
        "kind": finding.kind.value,
        "stream": finding.stream,
        "lane": str(finding.lane),
        "subscription": finding.subscription,
        "sequence": finding.sequence,
        "detail": finding.detail,
        "repaired": finding.is_repaired,
        "alarm": finding.is_alarm,
    }
