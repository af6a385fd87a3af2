"""Tails: where each of many lanes ends."""

from collections.abc import Callable, Iterable

from eventfabric.errors import LogError, UndecodableItemError
from eventfabric.model import EMPTY_TAIL, Lane, Tail
from eventfabric.ports import Log, insist
from eventfabric.services.lanes.lane_end import believed_tail

Unreadable = Callable[[LogError | UndecodableItemError], None]


def tails_of(
    log: Log, lanes: Iterable[Lane], *, now_ms: int, unreadable: Unreadable = insist
) -> dict[Lane, Tail]:
    """Return the tails of the lanes that have events, as this Region's log shows them. One read for each lane.

    `unreadable`: told of each lane that cannot be read, which is left out; default: raise that error.
    """
    tails: dict[Lane, Tail] = {}
    for lane in lanes:
        try:
            # One far item, which no lane leads to, would make a lane seem
            # to lag by all that is missing before it.
            tail = believed_tail(log, lane, past=EMPTY_TAIL.sequence, now_ms=now_ms)
        except LogError as error:
            unreadable(error)
            continue
        if tail != EMPTY_TAIL:
            tails[lane] = tail
    return tails
