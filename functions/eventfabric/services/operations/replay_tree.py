"""Replay tree: a replay across the seal of a lane that was split, and of one key through all lanes in which it stands.

    lane      [ 0 ][ 4 ][ 7 ][seal 9]            cursor past its seal
    children                [ 10 ][ 12 ]         cursor 14          replay from 4, in one transaction:
                            [ 10 ]               cursor 11          lane at 4, replays until 10; children not begun,
                                                                    replay until 14 and 11 once they begin again

Keys keep what waits in them from before that place; they come back from wherever they have gone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from eventfabric.errors import ReplayRefusedError
from eventfabric.model import (
    Cursor,
    Lane,
    LaneChange,
    LaneKey,
    Parked,
    ParkedChange,
    Place,
    Rest,
    SequenceNumber,
    after_changes,
    lane_of,
)
from eventfabric.ports import Log
from eventfabric.services.delivery.takeover import is_taken_over
from eventfabric.services.lanes.begun import LaneReader, begun_lanes
from eventfabric.services.lanes.splits import start_of
from eventfabric.services.operations.replay_plan import LanePlan, LaneView, check_tree

P = TypeVar("P", Place, Rest)
Views = Mapping[Lane, LaneView]
"""Lanes of a tree as they were read, parents first."""


def views_of(
    reader: LaneReader, lane: Lane, log: Log, *, fed: Callable[[Lane], SequenceNumber]
) -> dict[Lane, LaneView]:
    """Read a lane, and all lanes beneath it that have begun. One read for each, and two where a lane was split.

    `fed`: see LaneView.fed_until.
    """
    views: dict[Lane, LaneView] = {}
    for begun in begun_lanes(reader, lane.root):
        own, region = begun.lane, reader.region
        begins = start_of(log, own)
        if begins is None:
            raise ReplayRefusedError(f"lane {own} begins behind a seal that is not here yet: try again later")
        read = begun.state.cursor(region)
        is_own = is_taken_over(begun.state, region, reader.owner) if own.is_root else begun.region == region
        views[own] = LaneView(read, begun.state.parked.get(region, {}), fed(own), is_own, begins)
    if lane not in views:
        raise ReplayRefusedError(
            f"lane {lane} has not begun: it begins once lane {lane.parent} is delivered to its end"
        )
    return {own: view for own, view in views.items() if is_beneath(own, lane)}


def is_beneath(lane: Lane, other: Lane) -> bool:
    """Tell if a lane is another one, or was split off from it."""
    return lane.generation >= other.generation and lane.above(other.generation) == other


def path_of(views: Views, key: str, lanes: int) -> list[Lane]:
    """Return the lanes of a tree in which events of a key stand, parents first. `lanes`: of the stream at first."""
    return [lane for lane in views if lane_of(key, lane.origin, lanes, lane.generation) == lane]


def end_of(view: LaneView) -> SequenceNumber:
    """Return the sequence up to which a lane was handled: its seal's, if it is past that."""
    return SequenceNumber(view.read.sequence - int(view.read.past_seal is not None))


def back_across(
    plan: LanePlan,
    start: Cursor,
    views: Views,
    key_of: Callable[[Lane], LaneKey],
    *,
    publishes_again: bool,
) -> LanePlan:
    """Plan to have a lane that is past its seal go back to a place before it, and all beneath it begin anew.

    ReplayRefusedError: that is not all this Region's, or more than one transaction holds.
    """
    lane = plan.lane
    beneath = [own for own in views if own != lane]
    _check_all_begun(views)
    kept = {waits.id: waits for waits in _kept(views, lane, start.sequence)}
    stood = views[lane].parked
    changes = tuple(
        ParkedChange(stood.get(name), kept.get(name))
        for name in sorted(stood.keys() | kept.keys())
        if stood.get(name) != kept.get(name)
    )
    check_tree(lane, changes, beneath)
    moved = _moved(plan.read, start, until=_reached(views[lane]), publishes_again=publishes_again)
    moved = replace(moved, past_seal=None, began=min(plan.read.began, start.sequence))
    return replace(
        plan,
        to=moved.beside(after_changes(stood, changes)),
        changes=changes,
        beneath=tuple(
            LaneChange(key_of(own), views[own].read, _unbegun(views[own], publishes_again=publishes_again))
            for own in beneath
        ),
        events=sum(
            end_of(view) - (start.sequence if own == lane else view.begins.sequence)
            for own, view in views.items()
        ),
    )


def _check_all_begun(views: Views) -> None:
    """Refuse a replay beneath which a lane has yet to be begun by the passing that its parent notes."""
    for lane, view in views.items():
        if view.read.past_seal is not None and any(child not in views for child in lane.children):
            raise ReplayRefusedError(
                f"a child of lane {lane} has not been taken over yet: deliver first (eventfabric lanes --ring)"
            )


def _reached(view: LaneView) -> SequenceNumber:
    """Return the place before which events come again."""
    return SequenceNumber(max(view.read.sequence, view.read.replay_until))


def _moved(read: Cursor, start: Cursor, *, until: SequenceNumber, publishes_again: bool) -> Cursor:
    """Return a cursor at a place, from which on events up to another come again."""
    return replace(
        read.at_rest(),
        sequence=start.sequence,
        base=start.base,
        chain=start.chain,
        crashes=0,
        replay_from=until if publishes_again else start.sequence,
        replay_until=until,
    )


def _unbegun(view: LaneView, *, publishes_again: bool) -> Cursor:
    """Return the cursor of a lane that has not begun any more. It notes what was handled, which is to come again.

    Its version goes on, so that runs under way lose. It goes on naming its keys, which count no more.
    """
    read, begins, until = view.read, view.begins.sequence, _reached(view)
    is_new = until <= begins
    return replace(
        read.at_rest(),
        begun=None,
        past_seal=None,
        crashes=0,
        replay_from=SequenceNumber(0) if is_new else until if publishes_again else begins,
        replay_until=SequenceNumber(0) if is_new else until,
    )


def _kept(views: Views, lane: Lane, sequence: SequenceNumber) -> Iterator[Parked]:
    """Yield the keys of lanes that are not past their seals, with what waits from before a place in the log of a
    lane.
    """
    for view in views.values():
        for waits in view.waiting.values():
            before = waits.before(sequence)
            if before is not None:
                rest = before.rest and _in_log_of(before.rest, lane)
                places = tuple(_in_log_of(place, lane) for place in before.waiting)
                yield replace(before, waiting=places, rest=rest)


def _in_log_of(place: P, lane: Lane) -> P:
    """Return a place as a key of a lane notes it: without the lane, if it stands in the lane's own log."""
    return replace(place, lane=None) if place.lane == lane else place


def places_above(places: Sequence[Place], lane: Lane, leaf: Lane) -> list[Place]:
    """Return places in the log of a lane as a key notes them that waits in another, beneath it."""
    return [replace(place, lane=None if lane == leaf else lane) for place in places]
