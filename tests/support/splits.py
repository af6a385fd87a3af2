"""Lanes that were split: sealed by hand, filled behind the seal, and begun as a delivery begins them."""

from dataclasses import replace

from eventfabric.model import (
    EMPTY_TAIL,
    START,
    Committed,
    Event,
    Lane,
    LaneChange,
    Parked,
    ParkedChange,
    Passing,
    Record,
    Roster,
    Tail,
    child_of,
    lane_of,
    seal_at,
    tail_behind,
)
from eventfabric.services.lanes.lane_end import lane_end, tail_from
from tests.support.memory_fabric import LANE, event
from tests.support.subscribed_stream import SubscribedStream


def split(fabric: SubscribedStream, of: Lane = LANE) -> Tail:
    """End a lane by a seal. Return the tail with which its children begin."""
    log = fabric.origin_log
    seal = seal_at(tail_from(log, of, start(fabric, of)), of, now_ms=fabric.clock.now_ms())
    assert log.append(seal) is None
    return tail_behind(seal.tail)


def start(fabric: SubscribedStream, of: Lane) -> Tail:
    """Return the tail with which a lane begins, by the origin's log."""
    return EMPTY_TAIL if of.is_root else tail_behind(fabric.origin_log.tail(of.parent))


def put_in(fabric: SubscribedStream, of: Lane, *events: Event) -> Record:
    """Append a record to a lane, wherever it begins."""
    end = lane_end(fabric.origin_log, of, now_ms=fabric.clock.now_ms(), start=start(fabric, of))
    return fabric.put(*events, of=of, log_lane_tail=end.tail)


def key_for(fabric: SubscribedStream, of: Lane) -> str:
    """Return a key whose events go to a lane."""
    lanes = fabric.stream.definition.lanes
    keys = (f"key {number}" for number in range(10_000))
    return next(key for key in keys if lane_of(key, of.origin, lanes, of.generation) == of)


def event_in(fabric: SubscribedStream, of: Lane, name: str) -> Event:
    """Return an event that goes to a lane."""
    return event(name, key=key_for(fabric, of))


def pass_seal(fabric: SubscribedStream, of: Lane = LANE) -> Passing:
    """Have a lane, delivered up to its seal, be past it and its children begin: as the run does that comes to it."""
    ledger, region, seal = fabric.ledger, fabric.region, fabric.log.tail(of)
    state = ledger.state(fabric.key_of(of))
    read, parked = state.cursor(region), state.parked.get(region, {})
    assert seal.is_sealed, "only a lane that was split has children"
    assert read.sequence == seal.sequence - 1, "a lane is passed from its end"
    passing = Passing(region, read.epoch, read.version + 1)
    past = replace(read.at_rest(), sequence=seal.sequence, base=seal.sequence, chain=seal.chain)
    changes = [_begin(fabric, own, passing, [*parked.values()]) for own in of.children]
    moved = replace(past, past_seal=passing)
    assert isinstance(ledger.commit(fabric.key_of(of), read, moved, beside=changes), Committed)
    return passing


def _begin(fabric: SubscribedStream, of: Lane, passing: Passing, parked: list[Parked]) -> LaneChange:
    key, lanes, tail = fabric.key_of(of), fabric.stream.definition.lanes, fabric.log.tail(of.parent)
    own = [
        _from_above(waiting, of.parent) for waiting in parked if child_of(of.parent, waiting.key, lanes) == of
    ]
    state = fabric.ledger.state(key)
    stood = state.parked.get(fabric.region, {})
    read = state.cursor(fabric.region)
    changes = [ParkedChange(stood.get(waiting.id), waiting) for waiting in own]
    begun = replace(
        START,
        sequence=tail.sequence,
        base=tail.sequence,
        chain=tail.chain,
        epoch=passing.epoch,
        begun=passing,
        replay_until=read.replay_until,
    )
    moved = replace(begun.beside_after(begun, stood, changes), roster=Roster().naming(own))
    return LaneChange(key, read, moved, tuple(changes))


def _from_above(waiting: Parked, parent: Lane) -> Parked:
    """Return a parked key as it is in a child: its places name the lane in which they stand."""
    places = tuple(replace(place, lane=place.lane or parent) for place in waiting.waiting)
    rest = waiting.rest and replace(waiting.rest, lane=waiting.rest.lane or parent)
    return replace(waiting, waiting=places, rest=rest)


def child(number: int, of: Lane = LANE) -> Lane:
    """Return one of a lane's children."""
    return of.children[number]
