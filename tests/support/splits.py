"""Lanes that were split: sealed by hand, filled behind the seal, and begun by deliveries."""

from eventfabric.model import EMPTY_TAIL, Event, Lane, Passing, Record, Tail, lane_of, seal_at, tail_behind
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
    """Have a lane delivered past its seal, so that its children begin. Their doorbells are taken out of the queue."""
    fabric.deliver(of)
    for message in fabric.receive():
        fabric.queue.delete(message.receipt_handle)
    passing = fabric.ledger.state(fabric.key_of(of)).cursor(fabric.region).past_seal
    assert passing is not None, "only a lane that was split, and in which nothing stops, is past its seal"
    return passing


def split_twice() -> SubscribedStream:
    """Return a stream with two events in a lane, two in its left child, one beneath that. All were handled."""
    fabric, (left, _) = SubscribedStream(), LANE.children
    fabric.put(event("a"), event("b"))
    split(fabric)
    pass_seal(fabric)
    put_in(fabric, left, event("c"), event("d"))
    split(fabric, left)
    pass_seal(fabric, left)
    put_in(fabric, left.children[1], event("e"))
    fabric.deliver(left.children[1])
    return fabric
