"""Where publishers find the ends of lanes that were split, whatever has expired of them since."""

import pytest

from eventfabric.errors import SealedLaneError, UncertainTailError
from eventfabric.limits import FAR_EVENTS
from eventfabric.model import (
    EMPTY_TAIL,
    Lane,
    Mark,
    Record,
    SequenceNumber,
    Tail,
    record_at,
    seal_at,
    tail_behind,
)
from eventfabric.services.lanes.tree import Seals
from eventfabric.services.publishing.append import Appender
from eventfabric.services.publishing.lane_ends import LaneEnds
from eventfabric.testing.memory.entropy import SeededEntropy
from tests.support.appends import mine
from tests.support.memory_fabric import LANE, STREAM
from tests.support.split_stream import LEFT, SplitStream

DAY_SECONDS = 86_400
NOBODY_KNOWS = Mark()


class Expiring(SplitStream):
    """A stream whose records expire after a day."""

    def __init__(self) -> None:
        super().__init__(retention_days=1)
        self.table = self.cloud.log_table(STREAM, self.region)

    def ends(self, seals: Seals | None = None) -> LaneEnds:
        return LaneEnds(
            self.origin_log, clock=self.clock, expires=True, known=lambda lane: NOBODY_KNOWS, seals=seals
        )

    def add(self, lane: Lane, tail: Tail, count: int = 1) -> Record:
        record = record_at(tail, lane, mine(), now_ms=self.clock.now_ms(), retention_seconds=DAY_SECONDS)
        assert self.origin_log.append(record) is None
        return record if count == 1 else self.add(lane, record.tail, count - 1)

    def expire(self, *left: Record) -> None:
        """Let all records expire but the seals and these."""
        self.clock.advance(2 * DAY_SECONDS)
        for item in self.table.items:
            is_left = any(item["sk"] == {"N": str(record.sequence)} for record in left)
            if "s" not in item and not is_left:
                key = {name: item[name] for name in ("pk", "sk")}
                self.table.write("Delete", {"TableName": self.table.name, "Key": key})


@pytest.mark.parametrize("first", [0, 7, 3 * FAR_EVENTS])
@pytest.mark.parametrize("is_first_left", [False, True])
def test_a_seal_is_believed_however_little_is_left_before_it(first: int, is_first_left: bool) -> None:
    stream = Expiring()
    start = stream.add(LANE, Tail(SequenceNumber(first), EMPTY_TAIL.chain, EMPTY_TAIL.time))
    seal = seal_at(stream.add(LANE, start.tail, 3).tail, LANE, now_ms=stream.clock.now_ms())
    assert stream.origin_log.append(seal) is None
    stream.expire(*([start] if is_first_left else []))
    ends = stream.ends()
    assert ends.tail(LANE).is_sealed
    assert ends.tail(LEFT) == tail_behind(seal.tail)


def test_what_stands_behind_a_seal_counts_for_nothing() -> None:
    stream = Expiring()
    seal = stream.split()
    stream.add(LANE, tail_behind(seal.tail))
    assert stream.ends().tail(LANE) == seal.tail
    with pytest.raises(SealedLaneError):
        Appender(stream.origin_log, stream=STREAM, clock=stream.clock, entropy=SeededEntropy(1)).append(
            LANE, mine()
        )


def test_an_item_that_does_not_continue_the_lane_is_no_end_of_it_because_it_is_a_seal() -> None:
    stream = Expiring()
    tail = stream.add(LANE, EMPTY_TAIL, 2).tail
    far = Tail(SequenceNumber(tail.sequence + 5), tail.chain, tail.time)
    assert stream.origin_log.append(seal_at(far, LANE, now_ms=stream.clock.now_ms())) is None
    with pytest.raises(UncertainTailError):
        stream.ends().tail(LANE)


def test_a_child_of_which_everything_has_expired_goes_on_where_it_was_known_to_be() -> None:
    stream = Expiring()
    seal = stream.split()
    stream.add(LEFT, tail_behind(seal.tail), 3)
    stream.expire()
    known = LaneEnds(
        stream.origin_log,
        clock=stream.clock,
        expires=True,
        known=lambda lane: Mark(SequenceNumber(4), seal.chain) if lane == LEFT else NOBODY_KNOWS,
    )
    with pytest.raises(UncertainTailError):
        known.tail(LEFT)
    assert stream.ends().tail(LEFT) == tail_behind(seal.tail)


def test_a_child_without_a_seal_above_it_takes_nothing() -> None:
    stream = Expiring()
    with pytest.raises(UncertainTailError):
        stream.ends().tail(LEFT)
    assert stream.ends().taking(LEFT) == LANE


def test_what_is_known_of_seals_is_shared() -> None:
    stream, seals = Expiring(), Seals()
    stream.split()
    stream.split(LEFT)
    stream.ends(seals).tail(LEFT.children[0])
    assert seals.is_split(LANE)
    assert seals.is_split(LEFT)
    assert stream.ends(seals).taking(LEFT.children[0]) == LEFT.children[0]
