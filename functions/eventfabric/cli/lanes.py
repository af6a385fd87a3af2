"""`eventfabric lanes`: tail, cursor and lag of every lane, and another ring for those that lag."""

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated

import typer

from eventfabric.cli.connection import Connection, Json
from eventfabric.cli.options import grouped
from eventfabric.cli.output import say, show_json, show_table

if TYPE_CHECKING:
    from eventfabric.ports import Ports
    from eventfabric.services.survey import LaneStanding
    from eventfabric.topology import StreamTopology

_READERS = 16


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
    standings = [
        standing
        for name in named
        for standing in _standings(ports, connection.stream(name), subscription)
        if standing.lag or not lagging
    ]
    rung = ring_again(standings, doorbells=ports.doorbells, now_ms=ports.clock.now_ms()) if ring else []
    if json:
        show_json({"region": connection.region, "lanes": [_json(s) for s in standings], "rung": len(rung)})
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


def _standings(ports: "Ports", stream: "StreamTopology", subscription: str | None) -> "list[LaneStanding]":
    from eventfabric.services.standing import Standings
    from eventfabric.services.survey import lanes_of, survey, tails_of

    log = ports.log_of(stream)
    wanted = [s for s in stream.subscriptions if subscription in (None, s.name)]
    now_ms = ports.clock.now_ms()
    with ThreadPoolExecutor(_READERS) as readers:
        tails = [
            found
            for found in readers.map(lambda lane: tails_of(log, [lane], now_ms=now_ms), lanes_of(stream))
            if found
        ]
        jobs = [(wanted_one, tail) for wanted_one in wanted for tail in tails]
        known = {one.name: Standings(one, ledger=ports.ledger, clock=ports.clock).read() for one in wanted}
        standings = readers.map(
            lambda job: list(survey(*job, ledger=ports.ledger, standing=known[job[0].name])), jobs
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
