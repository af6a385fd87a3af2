"""Credits in lanes that were split: each child has a slot of its own, and none of its parent's."""

import pytest

from eventfabric.errors import BackpressureError, SealedLaneError
from eventfabric.limits import LANES_MAX
from eventfabric.model import (
    EMPTY_TAIL,
    Generation,
    Lane,
    LaneIndex,
    LaneKey,
    SequenceNumber,
    StreamName,
    seal_at,
)
from eventfabric.services.publishing.credits import UNKNOWN_SECONDS
from eventfabric.wire.keys import credit_key, credit_part, credit_parts
from tests.support.memory_fabric import HOME, LANE, STREAM, batch_of, event
from tests.unit.services.publishing.test_credits import BILLING, Gated

LEFT, RIGHT = LANE.children


def split(gated: Gated) -> None:
    seal = seal_at(EMPTY_TAIL, LANE, now_ms=gated.clock.now_ms())
    assert gated.fabric.origin_log.append(seal) is None
    with pytest.raises(SealedLaneError):
        gated.append()


def grant(gated: Gated, lane: Lane, sequence: int) -> None:
    key = LaneKey(StreamName(STREAM), BILLING.subscription, lane)
    gated.fabric.cloud.credits(HOME).grant(key, SequenceNumber(sequence))


def append(gated: Gated, lane: Lane) -> int:
    return gated.appender.append(lane, batch_of([event("e")], bytes([lane.index]) * 16)).sequence


def test_what_the_parent_was_granted_holds_back_nobody_in_its_children() -> None:
    gated = Gated(BILLING)
    gated.grants(1)
    split(gated)
    assert [append(gated, LEFT) for _ in range(5)] == [1, 2, 3, 4, 5]


def test_a_child_is_gated_from_its_first_grant_on_by_its_own_slot() -> None:
    gated = Gated(BILLING)
    gated.grants(1)
    split(gated)
    assert append(gated, LEFT) == 1
    grant(gated, LEFT, 3)
    gated.pass_seconds(UNKNOWN_SECONDS)
    assert append(gated, LEFT) == 2
    with pytest.raises(BackpressureError) as caught:
        append(gated, LEFT)
    assert (caught.value.lane, caught.value.grant) == (LEFT, 3)
    # Its sibling has no slot yet.
    assert [append(gated, RIGHT) for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("lanes", [1, 64, 1024, 4096])
def test_no_two_lanes_share_a_slot_and_all_their_partitions_are_known(lanes: int) -> None:
    places, parts = set[str](), set[int]()
    generation, count = 0, 0
    while lanes << generation <= LANES_MAX:
        for index in {0, 1, 63, 64, 1023, 1024, 2048, (lanes << generation) - 1}:
            if index < lanes << generation:
                lane = Lane(HOME, Generation(generation), LaneIndex(index))
                key = LaneKey(StreamName(STREAM), BILLING.subscription, lane)
                places.add(f"{credit_key(key, HOME)} {index % 64}")
                parts.add(credit_part(lane))
                count += 1
        generation += 1
    assert len(places) == count
    assert parts == set(credit_parts(lanes, may_be_split=True))
    assert (
        credit_parts(lanes, may_be_split=False) == credit_parts(lanes, may_be_split=True)[: -(-lanes // 1024)]
    )
