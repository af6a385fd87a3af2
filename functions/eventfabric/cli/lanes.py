"""`eventfabric lanes`: tail, cursor and lag of every lane, and another ring for those that lag."""

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated

import typer

from eventfabric.cli.connection import Connection, Json
from eventfabric.cli.options import grouped, unless_subcommand
from eventfabric.cli.output import complain, say, show_json, show_table
from eventfabric.cli.user import user_name
from eventfabric.errors import EventFabricError

if TYPE_CHECKING:
    from eventfabric.ports import Ports
    from eventfabric.services.survey import LaneStanding
    from eventfabric.topology import StreamTopology

_READERS = 16


app = typer.Typer()
Reason = Annotated[str, typer.Option(help="Why, for the record.")]


@app.callback(invoke_without_command=True)
@unless_subcommand
@grouped
def lanes(
    *,
    stream: Annotated[str | None, typer.Option(help="Only this stream.")] = None,
    subscription: Annotated[str | None, typer.Option(help="Only this subscription.")] = None,
    lagging: Annotated[bool, typer.Option("--lagging", help="Only lanes that lag.")] = False,
    ring: Annotated[bool, typer.Option("--ring", help="Ring the lanes that lag again.")] = False,
    connection: Connection,
    json: Json = False,
) -> None:
    """Show tail, cursor and lag of the lanes that have events, as one Region sees them.

    Example: eventfabric lanes --subscription billing --lagging

    Example: eventfabric lanes --ring
    """
    from eventfabric.services.survey import ring_again

    if subscription is not None:
        stream = connection.topology.subscription(subscription).definition.stream
    named = [stream] if stream is not None else [
        s.name for s in connection.topology.streams.values() if connection.region in s.definition.regions
    ]  # fmt: skip
    ports = connection.ports()
    unreadable: list[str] = []
    standings = [
        standing
        for name in named
        for standing in _standings(ports, connection.stream(name), subscription, unreadable)
        if standing.lag or not lagging
    ]
    rung = ring_again(standings, doorbells=ports.doorbells, now_ms=ports.clock.now_ms()) if ring else []
    for reason in unreadable:
        complain(reason)
    if json:
        shown = [_json(s) for s in standings]
        show_json({"region": connection.region, "lanes": shown, "rung": len(rung), "unreadable": unreadable})
        return
    rows = [
        (
            s.subscription.definition.stream,
            s.subscription.name,
            str(s.lane),
            s.tail.sequence,
            s.cursor.sequence,
            s.lag,
        )
        for s in standings
    ]
    show_table(f"{connection.region}", ("stream", "subscription", "lane", "tail", "cursor", "lag"), rows)
    behind = sum(standing.lag for standing in standings)
    said = f"; {len(rung)} rung again" if ring else ""
    say(f"{len(rows):,} lanes with events, {behind:,} events to deliver{said}")


@app.command("quarantine")
@grouped
def quarantine(
    stream: Annotated[str, typer.Argument(help="The stream.")],
    place: Annotated[str, typer.Argument(metavar="LANE@SEQUENCE", help="Where the item stands.")],
    *,
    reason: Reason = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be set aside; change nothing.")
    ] = False,
    connection: Connection,
    json: Json = False,
) -> None:
    """Set aside an item that does not belong to its lane, on record; in the lane's own Region.

    Example: eventfabric lanes quarantine orders us-east-1/0.17@1099511627776 --dry-run
    """
    from eventfabric.errors import SettingError
    from eventfabric.model.identity import parse_place

    found = parse_place(place)
    if found is None:
        raise SettingError("place", place, "LANE@SEQUENCE, such as us-east-1/0.17@42")
    of = connection.operations().quarantine(stream)
    what = of.fault(*found) if dry_run else of.set_aside(*found, by=user_name(), reason=reason).reason
    if json:
        show_json({"stream": stream, "place": place, "fault": what, "set_aside": not dry_run})
    else:
        say(f"{place} {'would be' if dry_run else 'is'} set aside: {what}")


@app.command("quarantined")
@grouped
def quarantined(
    stream: Annotated[str, typer.Argument(help="The stream.")], *, connection: Connection, json: Json = False
) -> None:
    """List what was set aside from the lanes of a stream: where it stood, by whom and why.

    Example: eventfabric lanes quarantined orders
    """
    from eventfabric.services.survey import lanes_of

    of = connection.stream(stream)
    log = connection.ports().log_of(of)
    with ThreadPoolExecutor(_READERS) as readers:
        found = [aside for some in readers.map(log.asides, lanes_of(of)) for aside in some]
    rows = [(f"{one.lane}@{one.sequence}", one.by, one.reason) for one in found]
    if json:
        named = [{"place": place, "by": by, "why": why} for place, by, why in rows]
        show_json({"stream": stream, "set_aside": named})
    else:
        show_table(stream, ("place", "by", "why"), rows)


def _standings(
    ports: "Ports", stream: "StreamTopology", subscription: str | None, unreadable: list[str]
) -> "list[LaneStanding]":
    """Every lane's standing; why lanes cannot be read is added to `unreadable`."""
    from eventfabric.services.standing import Standings
    from eventfabric.services.survey import lanes_of, survey, tails_of

    def unread(error: EventFabricError) -> None:
        unreadable.append(str(error))

    log = ports.log_of(stream)
    wanted = [s for s in stream.subscriptions if subscription in (None, s.name)]
    now_ms = ports.clock.now_ms()
    with ThreadPoolExecutor(_READERS) as readers:
        tails = [
            found
            for found in readers.map(
                lambda lane: tails_of(log, [lane], now_ms=now_ms, unreadable=unread), lanes_of(stream)
            )
            if found
        ]
        jobs = [(wanted_one, tail) for wanted_one in wanted for tail in tails]
        known = {one.name: Standings(one, ledger=ports.ledger, clock=ports.clock).read() for one in wanted}
        standings = readers.map(
            lambda job: list(
                survey(*job, ledger=ports.ledger, standing=known[job[0].name], unreadable=unread)
            ),
            jobs,
        )
        return [standing for some in standings for standing in some]


def _json(standing: "LaneStanding") -> dict[str, object]:
    return {
        "stream": standing.subscription.definition.stream,
        "subscription": standing.subscription.name,
        "lane": str(standing.lane),
        "tail": standing.tail.sequence,
        "cursor": standing.cursor.sequence,
        "lag": standing.lag,
    }
