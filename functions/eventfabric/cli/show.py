"""`eventfabric show`: show an event or a record of the log, decoded and verified."""

from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from eventfabric.cli.connection import Connection, Json
from eventfabric.cli.options import StreamIfSeveral, grouped
from eventfabric.cli.output import complain, show_document, show_json, stderr

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventfabric.model import Chain, Event, Lane, Record
    from eventfabric.ports import Log
    from eventfabric.stream_topology import StreamTopology

_SEQUENCE_END = 2**63


@grouped
def show(
    event: Annotated[
        str,
        typer.Argument(
            metavar="LANE@SEQUENCE|ID", help="Place of the event, such as us-east-1/0.17@42, or its id."
        ),
    ],
    *,
    stream: StreamIfSeveral = None,
    source: Annotated[
        str | None, typer.Option(help="Source of the id. Default: any source.", show_default=False)
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Show the whole record that contains the event.")
    ] = False,
    connection: Connection,
    json: Json = False,
) -> None:
    """Show an event as a CloudEvent, or the record that contains it. To find an id, the whole log is read.

    Example: eventfabric show us-east-1/0.17@42 --stream orders

    Example: eventfabric show 0190f3c2-7b1e-7a3c-9d2f-5e8a6f3b1c2d --record

    Example: eventfabric show A-1 --source /checkout
    """
    topology = connection.stream(stream)
    found_event = _find(connection.ports().log_of(topology), topology, event, source)
    if found_event is None:
        named = event if source is None else f"{event} of source {source}"
        complain(f"stream {topology.name} holds no event {named}, as far as {connection.region} can see")
        raise typer.Exit(1)
    value = _record_json(found_event) if record else _event_json(found_event.event)
    (show_json if json else show_document)(value)


class _Found(NamedTuple):
    event: "Event"
    record: "Record"
    chain_holds: bool | None
    """None if the record before it has expired."""


def _find(log: "Log", stream: "StreamTopology", wanted: str, source: str | None) -> _Found | None:
    from rich.progress import track

    from eventfabric.services.lanes.standing import lanes_of

    if "@" in wanted and source is None:
        return _event_at(log, *_place(stream, wanted))
    quiet = not stderr.is_terminal
    for lane in track(lanes_of(stream), "looking", console=stderr, transient=True, disable=quiet):
        for event, record, chain_holds in _events(log, lane, 0):
            if event.id == wanted and source in (None, event.source):
                return _Found(event, record, chain_holds)
    return None


def _place(stream: "StreamTopology", wanted: str) -> "tuple[Lane, int]":
    """Parse the place that `wanted` names. Raises WrongRegionError, typer.BadParameter."""
    from eventfabric.errors import WrongRegionError
    from eventfabric.model import Lane

    lane_text, _, sequence_text = wanted.partition("@")
    try:
        lane, sequence = Lane.parse(lane_text), int(sequence_text)
    except ValueError:
        allowed = "allowed: <origin>/<generation>.<index>@<sequence>, or an id"
        raise typer.BadParameter(f"{wanted!r}, {allowed}") from None
    if lane.origin not in stream.definition.regions:
        raise WrongRegionError(f"stream {stream.name}", lane.origin, stream.definition.regions)
    if not stream.has_lane(lane.origin, lane.generation, lane.index):
        roots = f"{lane.origin}/0.0 to {lane.origin}/0.{stream.definition.lanes - 1}"
        allowed = f"allowed: {roots}, and those into which they were split"
        raise typer.BadParameter(f"{wanted!r}, a lane that stream {stream.name} does not have, {allowed}")
    if not 0 <= sequence < _SEQUENCE_END:
        raise typer.BadParameter(f"{wanted!r}, no sequence, allowed: 0 or more")
    return lane, sequence


def _event_at(log: "Log", lane: "Lane", sequence: int) -> _Found | None:
    from eventfabric.limits import RECORD_EVENTS_MAX

    # Far enough back to contain the record's first event, and the record before it, whose chain is needed.
    for candidate in _events(log, lane, max(0, sequence - 2 * RECORD_EVENTS_MAX)):
        if candidate.event.sequence == sequence:
            return candidate
        if candidate.record.sequence > sequence:
            return None
    return None


def _events(log: "Log", lane: "Lane", start: int, chain: "Chain | None" = None) -> "Iterator[_Found]":
    """Yield the events of all records that begin at `start` or later, also of lanes that were split off behind these.

    `chain`: that of the record before.
    """
    from eventfabric.limits import PAGE_RECORDS_MAX
    from eventfabric.model import EMPTY_TAIL, SequenceNumber
    from eventfabric.wire.payload_codec import unpack

    chain = EMPTY_TAIL.chain if start == 0 else chain
    while True:
        page = log.read(lane, SequenceNumber(start), records_max=PAGE_RECORDS_MAX)
        for record in page.records:
            follows = record.sequence == start and chain is not None
            chain_holds = record.extends(chain) if follows and chain is not None else None
            start, chain = record.tail.sequence, record.chain
            for event in unpack(record):
                yield _Found(event, record, chain_holds)
            for child in lane.children if record.is_seal else ():
                yield from _events(log, child, start, chain)
        if not page.more or not page.records:
            return


def _event_json(event: "Event") -> dict[str, Any]:
    from eventfabric.wire.cloudevent import raw_cloudevent

    return {"lane": str(event.lane), "sequence": event.sequence, "event": raw_cloudevent(event)}


def _record_json(found_event: _Found) -> dict[str, Any]:
    from eventfabric.model import to_ms
    from eventfabric.wire.payload_codec import unpack

    record = found_event.record
    return {
        "lane": str(record.lane),
        "sequence": record.sequence,
        "count": record.count,
        "chain": record.chain.hex(),
        "chain_holds": found_event.chain_holds,
        "batch_id": record.batch_id.hex(),
        "time": record.time,
        "appended_ms": to_ms(record.time),
        "types": sorted(record.types),
        "payload_bytes": len(record.payload),
        "expires_at": record.expires_at,
        "skipped": record.skipped and {"by": record.skipped.by, "why": record.skipped.reason},
        "events": [_event_json(event)["event"] for event in unpack(record)],
    }
