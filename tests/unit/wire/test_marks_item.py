"""Marks of reconciliation: no item outgrows its bound, whatever the numbers of lanes and subscriptions."""

from dataclasses import fields
from random import Random

import msgspec

from eventfabric import limits
from eventfabric.model import (
    Chain,
    LaneIndex,
    Mark,
    Marks,
    Region,
    SequenceNumber,
    Sighting,
    Sightings,
    StreamName,
)
from eventfabric.wire.item_size import item_bytes
from eventfabric.wire.marks_item import changed_items, from_items

STREAM, HOME = StreamName("orders"), Region("us-east-1")


def test_all_lanes_of_a_hundred_subscriptions_that_lag_differently_stay_in_bounded_items() -> None:
    random = Random(1)

    def cursors() -> dict[str, tuple[int, int]]:
        return {
            f"subscription-{number:015d}": (random.getrandbits(32), random.getrandbits(48))
            for number in range(100)
        }

    lanes: dict[int, Mark] = {
        LaneIndex(index): Mark(
            SequenceNumber(random.getrandbits(48)), Chain(random.randbytes(16)), cursors=cursors()
        )
        for index in range(limits.LANES_MAX)
    }
    items = [item for item, _ in changed_items(STREAM, HOME, HOME, Marks(), Marks(lanes))]
    assert len(items) == 101 * limits.LANES_MAX // limits.MARKS_ITEM_LANES
    assert max(map(item_bytes, items)) < limits.MARKS_ITEM_LANES * limits.MARK_BYTES_MAX
    assert from_items(items).lanes == lanes


def test_the_largest_mark_of_a_lane_is_within_its_bound() -> None:
    largest = 2**64 - 1
    seen = Sightings((Sighting(SequenceNumber(largest), largest),) * limits.SIGHTINGS_MAX)
    mark = Mark(
        SequenceNumber(largest),
        Chain(b"c" * 32),
        SequenceNumber(largest),
        largest,
        {},
        SequenceNumber(largest),
        seen,
        SequenceNumber(largest),
        Chain(b"c" * 32),
        largest,
        largest,
        largest,
        largest,
        b"d" * 16,
        largest,
    )
    assert len(msgspec.msgpack.encode({LaneIndex(limits.LANES_MAX - 1): mark})) <= limits.MARK_BYTES_MAX
    assert all(
        getattr(mark, field.name) != field.default for field in fields(Mark) if field.name != "cursors"
    )
