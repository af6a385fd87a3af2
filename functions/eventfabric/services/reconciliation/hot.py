"""Hot lanes, as a pass sees them by its marks: how much came since the pass before, and what most of it is.

A lane with less than a few events a second costs no read. Of one with more, a pass reads the newest records once.
"""

from collections.abc import Iterator
from typing import Final

from eventfabric.errors import LogError
from eventfabric.model import Lane, Mark, Region, StreamName, Tail
from eventfabric.model.finding import Finding, FindingKind
from eventfabric.ports import Log
from eventfabric.services.lanes.hot_lane import SAMPLE_RECORDS, LaneSample

LOOK_EVENTS: Final = 20
"""Events a second from which a lane is looked at: with fewer, only large ones could make it hot."""
_SECONDS_MIN: Final = 60
"""Least time over which events are counted: passes may follow each other at once."""


def hot_in(
    log: Log, stream: StreamName, lane: Lane, region: Region, before: Mark, tail: Tail, *, seconds: float
) -> Iterator[Finding]:
    """Yield the finding that a lane is hot. `seconds`: since the pass that left the mark `before`; 0: unknown."""
    if lane.origin != region or not before.sequence or seconds <= 0:
        return
    events_per_second = (tail.sequence - before.sequence) / max(seconds, _SECONDS_MIN)
    if events_per_second < LOOK_EVENTS:
        return
    try:
        recent = log.recent(lane, records_max=SAMPLE_RECORDS, consistent=False)
    except LogError:
        return  # what is wrong with the lane is found where it is verified
    load = LaneSample.of(recent.records).load(events_per_second)
    if not load.is_hot:
        return
    kind, cure = FindingKind.HOT_LANE, "pack more events into each record"
    if load.has_hot_key:
        kind = FindingKind.HOT_KEY
        cure = f"one key has {load.sample.key_share:.0%} of its events: pack, publish in batches, or choose another key"
    elif load.is_packed:
        cure = f"split it (eventfabric lanes split {stream} {lane})"
    yield Finding(kind, stream, lane, region, tail.sequence, f"{load}; {cure}")
