"""Turns: the order in which a backfill plans ranges, so that planning can go on in another process.

Each lane is followed by those into which it was split, whose parent's end has been read by then. What is planned is
noted as one place: all before it in this order is planned, too.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from eventfabric.errors import LogError
from eventfabric.model import Lane
from eventfabric.model.backfill import LaneRange, Planned
from eventfabric.services.lanes.standing import lanes_of
from eventfabric.stream_topology import StreamTopology

Children = Callable[[Lane], Iterable[Lane]]
"""Returns the lanes into which one was split. LogError."""


def ranges_in_turn(
    stream: StreamTopology, asked: Iterable[LaneRange], children: Children, planned: Planned | None = None
) -> Iterator[LaneRange]:
    """Yield the ranges that are to be planned, in order, from where planning left off. None are asked: all lanes."""
    every = sorted(asked, key=lambda range_: (_order(range_.lane), range_.start))
    if every:
        yield from (left for range_ in every for left in _left_of(range_, planned))
        return
    for root in sorted(lanes_of(stream)):
        yield from _in_tree(root, children, planned)


def _in_tree(lane: Lane, children: Children, planned: Planned | None) -> Iterator[LaneRange]:
    """Yield a lane, and all that were split off from it."""
    is_before = planned is not None and _order(lane) < _order(planned.lane)
    if planned is not None and is_before and not _is_above(lane, planned.lane):
        return
    yield from _left_of(LaneRange(lane), planned)
    try:
        beneath = [*children(lane)]
    except LogError:
        return  # planning the lane says so
    for child in beneath:
        yield from _in_tree(child, children, planned)


def _left_of(range_: LaneRange, planned: Planned | None) -> Iterator[LaneRange]:
    """Yield the part of a range that is not planned yet, if there is any."""
    if planned is None or _order(range_.lane) > _order(planned.lane):
        yield range_
    elif range_.lane == planned.lane and (range_.end is None or range_.end > planned.sequence):
        yield replace(range_, start=max(range_.start, planned.sequence))


def _order(lane: Lane) -> tuple[str, tuple[int, ...]]:
    """Return by what lanes are ordered: each before all that were split off from it, and these before the next."""
    return lane.origin, tuple(lane.above(number).index for number in range(lane.generation + 1))


def _is_above(lane: Lane, other: Lane) -> bool:
    return lane.generation < other.generation and other.above(lane.generation) == lane
