"""A Region's own declarations, held against their copies: a table restored from a backup lacks what others still have.

Events that are lost at the end of their own lane are noticed by cursors and marks. Declarations have no cursor, and a
mark is as old as an hour. Functions that were deployed with what is lost stop until it is there again.
"""

from collections.abc import Callable, Iterator, Mapping

from eventfabric.errors import LogError, PortError
from eventfabric.model import DeclarationLane, Region, StreamName, Tail
from eventfabric.model.finding import Finding, FindingKind
from eventfabric.ports import Log
from eventfabric.services.reconciliation.copying import copy_records


def lost_here(
    lane: DeclarationLane, tail: Tail, log: Log, copies: Mapping[Region, Callable[[], Log]], *, repair: bool
) -> Iterator[Finding]:
    """Yield what this Region lacks at the end of its own lane, by what another one has. A silent Region has nothing.

    `tail`: the end of the lane here. `copies`: return the logs of the other Regions. One read for each of them.
    """
    for region, open_copy in copies.items():
        try:
            copy = open_copy()
            end = copy.tail(lane).sequence
            if end <= tail.sequence:
                continue
            is_repaired = repair and copy_records(lane, copy, log, tail, end)
        except (PortError, LogError):
            continue
        outcome = f"copied from {region}" if is_repaired else f"{region} has more, up to {end}"
        yield Finding(
            FindingKind.HOLE,
            StreamName(lane.stream),
            lane,
            lane.origin,
            tail.sequence,
            f"the lane ends there, and was longer; {outcome}",
            is_repaired=is_repaired,
        )
        return
