"""`eventfabric lanes`: show tail, cursor and lag of every lane, ring lanes that lag, and repair a lane by hand."""

from concurrent.futures import ThreadPoolExecutor
from itertools import chain, product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eventfabric.cli.connection import Connection, Json
from eventfabric.cli.options import LaneName, OnlyStream, Reason, Stream, grouped, unless_subcommand
from eventfabric.cli.output import complain, say, show_json, show_table
from eventfabric.cli.user import user_name
from eventfabric.errors import EventFabricError

if TYPE_CHECKING:
    from eventfabric.model import Lane, Region, SequenceNumber, Tail
    from eventfabric.ports import Ports
    from eventfabric.services.operations.restore import Copy
    from eventfabric.services.operations.split import ChildRate, LaneRate
    from eventfabric.services.operations.survey import LaneStanding
    from eventfabric.stream_topology import StreamTopology, SubscriptionTopology

_READERS = 16

app = typer.Typer()


@app.callback(invoke_without_command=True)
@unless_subcommand
@grouped
def lanes(
    *,
    stream: OnlyStream = None,
    subscription: Annotated[str | None, typer.Option(help="Only this subscription.")] = None,
    lagging: Annotated[bool, typer.Option("--lagging", help="Only lanes that lag.")] = False,
    ring: Annotated[bool, typer.Option("--ring", help="Ring again for every lane that lags.")] = False,
    connection: Connection,
    json: Json = False,
) -> None:
    """Show tail, cursor and lag of the lanes that have events, as one Region sees them, for each subscription.

    Tail: the end of the log. Cursor: the next event to deliver. Lag: events in between, not delivered yet.

    Example: eventfabric lanes --subscription billing --lagging

    Example: eventfabric lanes --ring
    """
    from eventfabric.services.operations.survey import ring_again

    if subscription is not None:
        stream = connection.declared.subscription(subscription).definition.stream
    ports = connection.ports()
    unreadable: list[str] = []
    standings: list[LaneStanding] = []
    for topology in connection.streams_as_declared(stream, retired=subscription is not None):
        standings += _standings(ports, topology, subscription, unreadable)
    if lagging:
        standings = [standing for standing in standings if standing.lag]
    rung = ring_again(standings, doorbells=ports.doorbells, now_ms=ports.clock.now_ms()) if ring else []
    for reason in unreadable:
        complain(reason)
    if json:
        shown = [_json(standing) for standing in standings]
        show_json({"region": connection.region, "lanes": shown, "rung": len(rung), "unreadable": unreadable})
        return
    counted = "lanes that lag" if lagging else "lanes with events"
    _show(connection.region, standings, counted, also=f"; {len(rung)} rung again" if ring else "")


@app.command("quarantine")
@grouped
def quarantine(
    stream: Stream,
    place: Annotated[str, typer.Argument(metavar="LANE@SEQUENCE", help="Place of the item in the log.")],
    *,
    reason: Reason = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be set aside, and why; change nothing.")
    ] = False,
    connection: Connection,
    json: Json = False,
) -> None:
    """Set aside an item that does not belong to its lane. It is kept, on record.

    Run it in the Region in which the lane is written; the lane's name begins with it.

    Example: eventfabric lanes quarantine orders us-east-1/0.17@1099511627776 --dry-run
    """
    item, items = _place(place), connection.operations().quarantine(stream)
    fault = items.fault(*item) if dry_run else items.set_aside(*item, by=user_name(), reason=reason).reason
    if json:
        show_json({"stream": stream, "place": place, "fault": fault, "set_aside": not dry_run})
    else:
        say(f"{place} {'would be' if dry_run else 'is'} set aside: {fault}")


@app.command("restore")
@grouped
def restore(
    stream: Stream,
    lane: LaneName,
    *,
    sequence: Annotated[int, typer.Option(min=0, help="First sequence of the record.")],
    from_table: Annotated[
        str | None,
        typer.Option("--from-table", help="Copy: a table restored to a point in time, in the same Region."),
    ] = None,
    from_export: Annotated[
        Path | None,
        typer.Option("--from-export", help="Copy: a data file of a DynamoDB export, lines of JSON, or .gz."),
    ] = None,
    from_region: Annotated[
        str | None,
        typer.Option("--from-region", help="Copy: the stream's table in another Region."),
    ] = None,
    reason: Reason = "",
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show what would be put back, and what proves it; change nothing."),
    ] = False,
    connection: Connection,
    json: Json = False,
) -> None:
    """Put back, from a copy, one record of a lane that was lost or changed. This stays on record.

    The record is verified against the record before it and those behind it. Nothing that continues the lane is
    overwritten; a wrong record in its place is set aside and kept. The record then replicates to every Region. Run it
    in the Region in which the lane is written; the lane's name begins with it.

    Example: eventfabric lanes restore orders us-east-1/0.17 --sequence 42 --from-table shop-orders-restored --dry-run
    """
    place = f"{lane}@{sequence}"
    record, copy = _place(place), _copy(connection, from_table, from_export, from_region)
    records = connection.operations().restore(stream, copy)
    restored = records.look(*record) if dry_run else records.restore(*record, by=user_name(), reason=reason)
    count, proof, replaces = restored.record.count, restored.proof, restored.replaces
    if json:
        about = {"stream": stream, "place": place, "events": count, "proof": proof}
        show_json({**about, "replaces": replaces or None, "restored": not dry_run})
        return
    instead = f", in place of a record that {replaces}" if replaces else ""
    say(f"{place} {'would be' if dry_run else 'is'} restored, {count:,} events{instead}: {proof}")


@app.command("skip")
@grouped
def skip(
    stream: Stream,
    lane: LaneName,
    *,
    sequence: Annotated[int, typer.Option(min=0, help="First sequence that is missing.")],
    reason: Reason = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show which events would be skipped; change nothing.")
    ] = False,
    connection: Connection,
    json: Json = False,
) -> None:
    """Let a lane continue past records that are lost for good. Their events are never delivered. CANNOT BE UNDONE.

    Refused while any Region still has one of the records, or does not answer. It stays on record: `prove` lists what
    was skipped, and ends with 5, for as long as the log keeps it. Run it in the Region in which the lane is written;
    the lane's name begins with it.

    Example: eventfabric lanes skip orders us-east-1/0.17 --sequence 42 --dry-run
    """
    place = f"{lane}@{sequence}"
    missing, skips = _place(place), connection.operations().skip(stream)
    gap = skips.look(*missing) if dry_run else skips.skip(*missing, by=user_name(), reason=reason)
    if json:
        about = {"stream": stream, "place": place, "events": gap.events, "goes_on_at": gap.until.sequence}
        show_json({**about, "skipped": not dry_run})
    else:
        would = "would continue" if dry_run else "continues"
        say(f"{lane} {would} at {gap.until.sequence}: {gap.events:,} events from {sequence} on are skipped")


def _place(text: str) -> "tuple[Lane, SequenceNumber]":
    from eventfabric.errors import SettingError
    from eventfabric.model import parse_place

    place = parse_place(text)
    if place is None:
        raise SettingError("place", text, "LANE@SEQUENCE, such as us-east-1/0.17@42")
    return place


def _copy(
    connection: Connection, table: str | None, export: Path | None, region: str | None
) -> "Copy | Region":
    from eventfabric.model import Region
    from eventfabric.sdk.export_file import ExportFile

    if sum(copy is not None for copy in (table, export, region)) != 1:
        raise typer.BadParameter("give one of --from-table, --from-export and --from-region")
    if table is not None:
        return connection.log_in_table(table)
    return ExportFile(export) if export is not None else Region(str(region))


@app.command("split")
@grouped
def split(
    stream: Stream,
    lane: LaneName,
    *,
    reason: Reason = "",
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Show how full its records are, and each child's rate; change nothing."
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    connection: Connection,
    json: Json = False,
) -> None:
    """Split a lane that takes too many records into two, each with half of its keys. CANNOT BE UNDONE.

    Order is kept, and nobody has to be told: producers and functions go on in the new lanes where they come to the
    old one's end. It helps a lane of many small records. It helps none whose records are packed, or in which one key is
    most of it: --dry-run says so. It stays on record. Run it in the Region in which the lane is written; the lane's
    name begins with it.

    Example: eventfabric lanes split orders us-east-1/0.17 --dry-run

    Example: eventfabric lanes split orders us-east-1/0.17 --reason "1,400 records a second" --yes
    """
    wanted, splits = _lane(lane), connection.operations().split(stream)
    rate = splits.look(wanted)
    if not json:
        _show_rate(rate)
    done = None
    if not dry_run:
        if not yes:
            _confirm(wanted, as_json=json)
        done = splits.split(wanted, by=user_name(), reason=reason)
    if json:
        show_json({"stream": stream, **_rate_json(rate), "split": done is not None})
    elif done is not None:
        children = " and ".join(map(str, done.children))
        say(f"{wanted} ends at {done.seal.sequence}, and goes on in {children}")


def _confirm(lane: "Lane", *, as_json: bool) -> None:
    if as_json:
        raise typer.BadParameter("--json needs --dry-run or --yes")
    typer.confirm(f"Split {lane} into {' and '.join(map(str, lane.children))}, for good?", abort=True)


def _lane(text: str) -> "Lane":
    from eventfabric.errors import SettingError
    from eventfabric.model import Lane

    try:
        return Lane.parse(text)
    except ValueError:
        raise SettingError("lane", text, "<origin>/<generation>.<index>, such as us-east-1/0.17") from None


def _show_rate(rate: "LaneRate") -> None:
    """Show what a lane takes, and what each child would."""
    parts: list[LaneRate | ChildRate] = [rate, *rate.children]
    rows = [(str(part.lane), *_rates(part)) for part in parts]
    show_table(str(rate.lane), ("lane", "records a second", "events a second"), rows)
    say(f"{rate.events_per_record:.1f} events a record, by its newest records")
    if not rate.cools:
        say(
            "splitting it helps little: at least one child would take most of its records. Pack more events into a "
            "record, or spread the key that is most of it"
        )


def _rates(part: "LaneRate | ChildRate") -> tuple[str, str]:
    return f"{part.records_per_second:,.1f}", f"{part.events_per_second:,.1f}"


def _rate_json(rate: "LaneRate") -> dict[str, object]:
    def rates(part: "LaneRate | ChildRate") -> dict[str, object]:
        return {
            "lane": str(part.lane),
            "records_per_second": round(part.records_per_second, 3),
            "events_per_second": round(part.events_per_second, 3),
        }

    children = [rates(child) for child in rate.children]
    packed = round(rate.events_per_record, 3)
    return {**rates(rate), "events_per_record": packed, "children": children, "helps": rate.cools}


@app.command("mended")
@grouped
def mended(
    stream: Stream,
    *,
    connection: Connection,
    json: Json = False,
) -> None:
    """List what operators set aside, restored, skipped or split in a stream: where, by whom and why.

    Example: eventfabric lanes mended orders
    """
    from eventfabric.services.catalogue.regions import with_former
    from eventfabric.services.lanes.splits import interventions_in
    from eventfabric.services.lanes.standing import declaration_lanes_of, lanes_of

    topology = connection.stream(stream)
    log = connection.ports().log_of(topology)
    lanes = [*lanes_of(topology), *declaration_lanes_of(with_former(topology, log))]
    with ThreadPoolExecutor(_READERS) as readers:
        every = list(chain.from_iterable(readers.map(lambda lane: [*interventions_in(log, lane)], lanes)))
    columns = ("place", "what", "by", "why")
    rows = [(f"{done.lane}@{done.sequence}", done.kind.value, done.by, done.reason) for done in every]
    if json:
        show_json({"stream": stream, "mended": [dict(zip(columns, row, strict=True)) for row in rows]})
    else:
        show_table(stream, columns, rows)


def _standings(
    ports: "Ports", stream: "StreamTopology", subscription: str | None, unreadable: list[str]
) -> "list[LaneStanding]":
    """Look where every lane stands. Reasons why lanes cannot be read are added to `unreadable`."""
    from eventfabric.services.lanes.standing import Standings, lanes_of
    from eventfabric.services.lanes.tails import tails_of
    from eventfabric.services.operations.survey import survey

    def unread(error: EventFabricError) -> None:
        unreadable.append(str(error))

    log, now_ms = ports.log_of(stream), ports.clock.now_ms()
    wanted = [s for s in stream.subscriptions if subscription in (None, s.name)]
    with ThreadPoolExecutor(_READERS) as readers:

        def tails_in(lane: "Lane") -> "dict[Lane, Tail]":
            return tails_of(log, [lane], now_ms=now_ms, unreadable=unread)

        def surveyed(pair: "tuple[SubscriptionTopology, dict[Lane, Tail]]") -> "list[LaneStanding]":
            topology, tails = pair
            known = standings[topology.name]
            ledger = ports.ledger
            return list(survey(topology, tails, log=log, ledger=ledger, standing=known, unreadable=unread))

        every = [tails for tails in readers.map(tails_in, lanes_of(stream)) if tails]
        standings = {s.name: Standings.of(s, ports).read() for s in wanted}
        return list(chain.from_iterable(readers.map(surveyed, product(wanted, every))))


def _show(region: str, standings: "list[LaneStanding]", counted: str, *, also: str) -> None:
    rows = [
        (
            standing.subscription.definition.stream,
            standing.subscription.name,
            str(standing.lane),
            standing.tail.sequence,
            standing.cursor.sequence,
            standing.lag,
        )
        for standing in standings
    ]
    show_table(region, ("stream", "subscription", "lane", "tail", "cursor", "lag"), rows)
    behind = sum(standing.lag for standing in standings)
    say(f"{len(standings):,} {counted}, {behind:,} events to deliver{also}")


def _json(standing: "LaneStanding") -> dict[str, object]:
    return {
        "stream": standing.subscription.definition.stream,
        "subscription": standing.subscription.name,
        "lane": str(standing.lane),
        "tail": standing.tail.sequence,
        "cursor": standing.cursor.sequence,
        "lag": standing.lag,
    }
