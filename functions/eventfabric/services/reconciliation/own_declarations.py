"""Lanes beside a stream that have no other origin, held against copies: a table restored from a backup lacks records.

Events that are lost at the end of their own lane are noticed by cursors and marks. Declarations have no cursor, and a
mark is as old as an hour. Functions that were deployed with what is lost stop until it is there again. The lane is the
Region's own, or that of a Region which the stream was in once: it is in no other log than those of the others.
"""

from collections.abc import Callable, Iterator, Mapping

from eventfabric.errors import LogError, PortError
from eventfabric.model import DeclarationLane, Region, StreamName, Tail
from eventfabric.model.finding import Finding, FindingKind
from eventfabric.ports import Log
from eventfabric.services.reconciliation.copying import copy_records


def lost_here(
    lane: DeclarationLane,
    tail: Tail,
    log: Log,
    copies: Mapping[Region, Callable[[], Log]],
    *,
    region: Region,
    repair: bool,
) -> Iterator[Finding]:
    """Yield what a Region lacks at the end of such a lane, by what another one has. A silent Region has nothing.

    `tail`: the end of the lane here. `copies`: return the logs of the other Regions. One read for each of them.
    """
    for other, open_copy in copies.items():
        try:
            copy = open_copy()
            end = copy.tail(lane).sequence
            if end <= tail.sequence:
                continue
            is_repaired = repair and copy_records(lane, copy, log, tail, end)
        except (PortError, LogError):
            continue
        outcome = f"copied from {other}" if is_repaired else f"{other} has more, up to {end}"
        yield Finding(
            FindingKind.HOLE,
            StreamName(lane.stream),
            lane,
            region,
            tail.sequence,
            f"the lane ends there, and was longer; {outcome}",
            is_repaired=is_repaired,
        )
        return
