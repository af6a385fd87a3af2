"""Expiry of a missing record, to the millisecond, and places in the largest record."""

import pytest

from eventfabric import limits
from eventfabric.model import UNKNOWN_CHAIN, AtSequence, AtTime, Cursor, Region, SequenceNumber, to_ms
from eventfabric.services.lanes.locate import KeptPart, has_expired, kept_in, locate
from eventfabric.testing.memory.faults import Faults
from tests.support.appends import at_call
from tests.support.memory_fabric import AWAY, HOME, LANE, event, lane
from tests.support.subscribed_stream import SubscribedStream
from tests.unit.services.lanes.test_locate import expired, fabric_of, found_in


@pytest.mark.parametrize(
    ("kept_after_ms", "settled_after_ms", "has"),
    [(1, 0, True), (1, -1, False), (0, 0, False), (-1, 0, False), (0, -1, False)],
)
def test_a_missing_record_has_expired_by_the_times_of_those_around_it(
    kept_after_ms: int, settled_after_ms: int, has: bool
) -> None:
    """The record before it may have expired, and the record behind it is settled."""
    fabric = fabric_of([1, 1, 1], [1_000] * 3)
    before, missing, following = fabric.records()
    expired(fabric, missing)
    kept_part = KeptPart(
        to_ms(before.time) + kept_after_ms, to_ms(following.time) + settled_after_ms, fabric.clock.now_ms()
    )
    assert has_expired(fabric.log, LANE, missing.sequence, following, kept_part) == has


@pytest.mark.parametrize(("settled_after_ms", "has"), [(0, True), (-1, False)])
def test_where_the_one_before_it_is_gone_too_nothing_says_that_it_is_younger(
    settled_after_ms: int, has: bool
) -> None:
    fabric = fabric_of([1, 1, 1], [1_000] * 3)
    before, missing, following = fabric.records()
    expired(fabric, before, missing)
    kept_part = KeptPart(0, to_ms(following.time) + settled_after_ms, fabric.clock.now_ms())
    assert has_expired(fabric.log, LANE, missing.sequence, following, kept_part) == has


@pytest.mark.parametrize(("settled_after_ms", "is_found"), [(0, True), (-1, False)])
def test_the_oldest_that_is_here_is_gone_back_to_once_it_is_settled(
    settled_after_ms: int, is_found: bool
) -> None:
    fabric = fabric_of([1, 1, 1], [1_000] * 3)
    first, second, _ = fabric.records()
    expired(fabric, first)
    kept_part = KeptPart(to_ms(second.time), to_ms(second.time) + settled_after_ms, fabric.clock.now_ms())
    begins = locate(fabric.log, LANE, AtTime(0), end=fabric.log.tail(LANE), kept_part=kept_part)
    assert begins == (Cursor(SequenceNumber(1), SequenceNumber(1), UNKNOWN_CHAIN) if is_found else None)


@pytest.mark.parametrize("back", [1, 2, limits.RECORD_EVENTS_MAX // 2, limits.RECORD_EVENTS_MAX - 1])
def test_any_event_of_the_largest_record_is_found_in_it(back: int) -> None:
    fabric = SubscribedStream()
    first = fabric.put(event("first"))
    largest = fabric.put(*(event(f"e{number}") for number in range(limits.RECORD_EVENTS_MAX)))
    fabric.put(event("last"))
    sequence = SequenceNumber(largest.tail.sequence - back)
    assert found_in(fabric, AtSequence(sequence)) == Cursor(sequence, largest.sequence, first.chain)


@pytest.mark.parametrize(
    ("origin", "settled_ms"), [(HOME, 10_000_000_000), (AWAY, 10_000_000_000 - 24 * 3_600_000)]
)
def test_what_a_region_knows_to_be_kept_and_to_have_come(origin: Region, settled_ms: int) -> None:
    now_ms = 10_000_000_000
    kept_part = kept_in(lane(0, origin), HOME, retention_seconds=60, now_ms=now_ms)
    assert kept_part == KeptPart(now_ms - 60_000, settled_ms, now_ms)
    assert kept_in(lane(0, origin), HOME, retention_seconds=None, now_ms=now_ms) is None


@pytest.mark.parametrize("gone", [False, True])
def test_a_record_that_comes_while_it_is_looked_at_is_begun_with(gone: bool) -> None:
    """Two of five have not come, and do when the place behind them was found already; the first may have expired."""
    fabric = fabric_of([1] * 5, [1_000] * 5)
    records = fabric.records()
    expired(fabric, *records[1:3], *(records[:1] if gone else ()))

    def arrive() -> None:
        for record in records[1:3]:
            assert fabric.origin_log.append(record) is None

    looks = at_call("log.tail", 4, arrive)
    kept_part = KeptPart(to_ms(records[1].time), fabric.clock.now_ms(), fabric.clock.now_ms())
    cursor = locate(
        looks.log(fabric.log),
        LANE,
        AtTime(kept_part.from_ms),
        end=fabric.log.tail(LANE),
        kept_part=kept_part if gone else None,
    )
    chain = UNKNOWN_CHAIN if gone else records[0].chain
    assert cursor == Cursor(SequenceNumber(1), SequenceNumber(1), chain)


@pytest.mark.parametrize(
    "start",
    [AtSequence(SequenceNumber(3)), AtSequence(SequenceNumber(9)), AtTime(2_000_000_000_000)],
    ids=str,
)
def test_at_or_behind_the_end_of_what_is_looked_at_is_that_end(start: AtSequence | AtTime) -> None:
    fabric = fabric_of([1] * 5, [1_000] * 5)
    end = fabric.log.tail(LANE, before=SequenceNumber(3))
    kept_part = KeptPart(0, fabric.clock.now_ms(), fabric.clock.now_ms())
    for part in (None, kept_part):
        cursor = locate(fabric.log, LANE, start, end=end, kept_part=part)
        assert cursor == Cursor(SequenceNumber(3), SequenceNumber(3), fabric.records()[2].chain)


@pytest.mark.parametrize(("after_ms", "sequence"), [(-1, 1), (0, 1), (1, 2)])
def test_a_time_is_found_to_the_millisecond(after_ms: int, sequence: int) -> None:
    fabric = fabric_of([1] * 4, [1_000] * 4)
    start = AtTime(to_ms(fabric.records()[1].time) + after_ms)
    assert found_in(fabric, start).sequence == sequence


@pytest.mark.parametrize(("position", "sequence"), [(0, 2), (1, 2), (2, 2), (3, 3)])
def test_a_sequence_before_what_is_kept_is_not_gone_back_to_and_one_behind_it_is(
    position: int, sequence: int
) -> None:
    fabric = fabric_of([1] * 5, [1_000] * 5)
    records = fabric.records()
    kept_part = KeptPart(to_ms(records[2].time), fabric.clock.now_ms(), fabric.clock.now_ms())
    cursor = found_in(fabric, AtSequence(SequenceNumber(position)), kept_part=kept_part)
    assert cursor == Cursor(SequenceNumber(sequence), SequenceNumber(sequence), records[sequence - 1].chain)


@pytest.mark.parametrize(("position", "chain_of"), [(0, None), (1, None), (2, 1)])
def test_the_oldest_that_is_kept_is_begun_with_though_the_one_before_it_is_gone(
    position: int, chain_of: int | None
) -> None:
    fabric = fabric_of([1] * 4, [1_000] * 4)
    records = fabric.records()
    expired(fabric, records[0])
    kept_part = KeptPart(to_ms(records[1].time), fabric.clock.now_ms(), fabric.clock.now_ms())
    chain = UNKNOWN_CHAIN if chain_of is None else records[chain_of].chain
    sequence = SequenceNumber(max(position, 1))
    assert found_in(fabric, AtSequence(SequenceNumber(position)), kept_part=kept_part) == Cursor(
        sequence, sequence, chain
    )


def test_of_records_that_may_still_come_nothing_is_reported() -> None:
    fabric = fabric_of([1] * 3, [1_000] * 3)
    first, second, _ = fabric.records()
    expired(fabric, first)
    kept_part = KeptPart(to_ms(second.time), to_ms(second.time) - 1, fabric.clock.now_ms())
    for start in (AtSequence(SequenceNumber(0)), AtSequence(SequenceNumber(2)), AtTime(0)):
        assert locate(fabric.log, LANE, start, end=fabric.log.tail(LANE), kept_part=kept_part) is None


def test_the_first_event_of_a_record_costs_one_read_and_another_one_about_ten() -> None:
    fabric = SubscribedStream()
    fabric.put(event("first"))
    largest = fabric.put(*(event(f"e{number}") for number in range(limits.RECORD_EVENTS_MAX)))
    for back, most in ((0, 1), (limits.RECORD_EVENTS_MAX, 1), (7, 13)):
        looks, start = Faults(), AtSequence(SequenceNumber(largest.tail.sequence - back))
        locate(looks.log(fabric.log), LANE, start, end=fabric.log.tail(LANE))
        assert looks.count("log.tail") <= most
