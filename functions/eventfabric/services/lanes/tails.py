"""Tails: where each of many lanes ends."""

from collections.abc import Iterable

from eventfabric.model import Lane, Tail
from eventfabric.ports import Log, insist
from eventfabric.services.lanes.splits import Unreadable, walked


def tails_of(
    log: Log, lanes: Iterable[Lane], *, now_ms: int, unreadable: Unreadable = insist
) -> dict[Lane, Tail]:
    """Return the tails of the lanes that have events, and of all that were split off from them; one read for each.

    `unreadable`: told of each lane that cannot be read, which is left out; default: raise that error.
    """
    return {
        own.lane: own.tail
        for own in walked(log, lanes, now_ms=now_ms, unreadable=unreadable)
        if not (own.is_empty and own.lane.is_root)
    }
