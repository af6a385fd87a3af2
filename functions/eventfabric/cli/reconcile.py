"""`eventfabric reconcile`: make one pass of reconciliation over the streams of a Region."""

from typing import TYPE_CHECKING, Annotated

import typer

from eventfabric.cli.connection import Connection, Json
from eventfabric.cli.options import OnlyStream, grouped
from eventfabric.cli.output import say, show_json, show_table, stderr

if TYPE_CHECKING:
    from eventfabric.model.finding import Finding

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
    connection: Connection,
    json: Json = False,
) -> None:
    """Check logs and cursors of a Region, and report missing or wrong records, lost doorbells and stuck keys.

    docs/regions.md explains each finding. The exit code is 1 if a finding is left that needs a person.

    Example: eventfabric reconcile --stream orders --repair
    """
    streams, operations = connection.streams(stream or None), connection.operations()
    findings: list[Finding] = []
    for topology in streams:
        with stderr.status(f"reconciling {topology.name} in {connection.region}"):
            findings += operations.reconcile(topology.name, repair=repair, full=full)
    alarms = sum(finding.is_alarm for finding in findings)
    if json:
        show_json({"region": connection.region, "findings": [_json(f) for f in findings], "alarms": alarms})
    else:
        if findings:
            show_table(connection.region, _COLUMNS, [_row(finding) for finding in findings])
        repaired = sum(finding.is_repaired for finding in findings)
        say(f"{len(findings):,} findings, {repaired:,} repaired, {alarms:,} need a person")
    if alarms:
        raise typer.Exit(1)


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
