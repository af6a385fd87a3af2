"""A stream with one subscription in memory, whose lanes are split by hand: at any time, by the record that does so."""

from functools import cache
from itertools import count, islice

from eventfabric.model import (
    EMPTY_TAIL,
    Lane,
    Record,
    Tail,
    child_of,
    lane_of,
    seal_at,
    tail_behind,
)
from tests.support.memory_fabric import HOME, LANE, event
from tests.support.subscribed_stream import SubscribedStream

LEFT, RIGHT = LANE.children
LANES = 2


@cache
def key_of(lane: Lane, number: int = 0) -> str:
    """Return a key that goes to a lane, another one for each number."""
    names = (f"key {name}" for name in count())
    keys = (key for key in names if lane_of(key, lane.origin, LANES, lane.generation) == lane)
    return next(islice(keys, number, None))


class SplitStream(SubscribedStream):
    """A stream whose first Region's lanes are appended to and split."""

    def tail_of(self, lane: Lane) -> Tail:
        """Return where a lane goes on: an empty child behind its parent's seal."""
        tail = self.cloud.log("orders", HOME).tail(lane)
        return tail_behind(self.tail_of(lane.parent)) if tail == EMPTY_TAIL and not lane.is_root else tail

    def lane_now(self, key: str) -> Lane:
        """Return the lane to which a key's next event goes."""
        lane = lane_of(key, HOME, LANES)
        while self.tail_of(lane).is_sealed:
            lane = child_of(lane, key, LANES)
        return lane

    def publish(self, *names: str, key: str) -> Record:
        """Append one record with events of a key, where they go by now."""
        lane = self.lane_now(key)
        events = [event(name, key=key) for name in names]
        return self.put(*events, of=lane, log_lane_tail=self.tail_of(lane))

    def split(self, lane: Lane = LANE) -> Record:
        """End a lane with a seal."""
        seal = seal_at(self.tail_of(lane), lane, now_ms=self.clock.now_ms())
        assert self.cloud.log("orders", HOME).append(seal) is None
        return seal

    def run_all(self) -> None:
        """Relay and deliver until nothing is left to do."""
        self.relay_all()
        self.deliver_all()
