"""Splits: the lanes that walkers find behind the seals of others, and with which sequence and chain each begins.

    us-east-1/0.17  ... [ 40 ][seal 42]                 whoever reads where a lane ends, learns that it was split
    us-east-1/1.34                     [ 43 ][ 45 ]     and then reads its children, which begin behind the seal
    us-east-1/1.35                     (nothing yet)

A stream of which no lane was split costs no read more. A lane that was split is found by its parent's end alone, so
that no list of lanes has to be kept anywhere.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from eventfabric.errors import LogError, SettingError, UndecodableItemError
from eventfabric.model import EMPTY_TAIL, Intervention, InterventionKind, Lane, Tail, tail_behind
from eventfabric.ports import Log, insist
from eventfabric.services.lanes.lane_end import believed_tail
from eventfabric.services.lanes.standing import lanes_of
from eventfabric.stream_topology import StreamTopology

Unreadable = Callable[[LogError | UndecodableItemError], None]


@dataclass(frozen=True, slots=True)
class WalkedLane:
    """A lane with the tails of its beginning and its end. Both are equal while nothing stands in it."""

    lane: Lane
    start: Tail
    tail: Tail

    @property
    def is_empty(self) -> bool:
        """Tell if nothing stands in the lane."""
        return self.tail == self.start


def walked(
    log: Log, lanes: Iterable[Lane], *, now_ms: int, unreadable: Unreadable = insist
) -> Iterator[WalkedLane]:
    """Yield lanes, each with where it ends, and behind them all lanes that were split off. One read for each lane.

    `unreadable`: told of each lane that cannot be read, which is left out; default: raise that error.
    """
    left = deque((lane, start_of(log, lane) or EMPTY_TAIL) for lane in lanes)
    while left:
        lane, start = left.popleft()
        try:
            # An item far away, which no lane leads to, would make a lane seem to lag by all that is missing before it.
            tail = believed_tail(log, lane, past=start.sequence, now_ms=now_ms, start=start)
        except LogError as error:
            unreadable(error)
            continue
        yield WalkedLane(lane, start, tail)
        if tail.is_sealed:
            left.extendleft((child, tail_behind(tail)) for child in reversed(lane.children))


def start_of(log: Log, lane: Lane) -> Tail | None:
    """Return the tail with which a lane begins; None: its parent was not split, by this log.

    No read for a lane of the first generation, which begins at 0, else one. LogError.
    """
    if lane.is_root:
        return EMPTY_TAIL
    tail = log.tail(lane.parent)
    return tail_behind(tail) if tail.is_sealed else None


def check_lane(stream: StreamTopology, lane: Lane, log: Log) -> Tail:
    """Return the tail with which a lane of a stream begins. SettingError: the stream has no such lane, by this log."""
    lanes = lanes_of(stream)
    start = start_of(log, lane) if may_have(stream, lane) else None
    if start is None:
        allowed = f"{lanes[0]} to {lanes[-1]}, and those into which they were split"
        raise SettingError("lane", str(lane), allowed)
    return start


def may_have(stream: StreamTopology, lane: Lane) -> bool:
    """Tell if a stream may have a lane: by its definition, or once lanes were split."""
    return stream.has_lane(lane.origin, lane.generation, lane.index)


def interventions_in(log: Log, lane: Lane) -> Iterator[Intervention]:
    """Yield what operators did to a lane, and to those that were split off from it. One read for each lane.

    Whoever splits a lane notes that beforehand, so that a lane that was not split takes no other read.
    """
    interventions = log.interventions(lane)
    yield from interventions
    if any(done.kind is InterventionKind.SPLIT for done in interventions):
        for child in lane.children:
            yield from interventions_in(log, child)
