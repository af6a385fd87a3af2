"""The promises of ports.Log, on every backend."""

from dataclasses import replace

import pytest

from eventfabric.errors import OutcomeUnknownError, RefusedError, UndecodableRecordError
from eventfabric.model import (
    EMPTY_TAIL,
    Batch,
    BatchId,
    Chain,
    Generation,
    HybridTime,
    Intervention,
    InterventionKind,
    Lane,
    LaneIndex,
    Recent,
    Record,
    Region,
    SequenceNumber,
    SkippedBy,
    Tail,
    pin_of,
    record_at,
    seal_at,
    skip_at,
    tail_behind,
)
from eventfabric.testing.memory.faults import SimulatedCrash
from eventfabric.wire import record_item
from eventfabric.wire.keys import Item
from tests.support.backends import AWAY, HOME, LOG_TABLE, Backend

LANE = Lane(HOME, Generation(0), LaneIndex(1))


def record(
    sequence: int = 0, *, count: int = 1, batch: bytes = b"b", lane: Lane = LANE, payload: bytes | None = None
) -> Record:
    body = b"payload" * count if payload is None else payload
    made = Batch(BatchId(batch.ljust(16, b".")), count, frozenset({"placed", "paid"}), body)
    tail = Tail(SequenceNumber(sequence), EMPTY_TAIL.chain, EMPTY_TAIL.time)
    return record_at(tail, lane, made, now_ms=1_790_000_000_000, retention_seconds=None)


def all_sequences(backend: Backend, start: int = 0, *, records_max: int) -> list[int]:
    """Every record from `start` on, page after page as long as more may follow."""
    sequences: list[int] = []
    while True:
        page = backend.log.read(LANE, SequenceNumber(start), records_max=records_max)
        assert len(page.records) <= records_max
        sequences += [r.sequence for r in page.records]
        if not page.more:
            return sequences
        if page.records:
            start = page.records[-1].tail.sequence


def test_the_tail_of_a_lane_that_nobody_wrote_to_is_the_empty_one(backend: Backend) -> None:
    assert backend.log.tail(LANE) == EMPTY_TAIL


def test_the_tail_stands_behind_the_newest_record_whatever_its_size(backend: Backend) -> None:
    for sequence, count in ((0, 9), (9, 3), (12, 90)):
        assert backend.log.append(record(sequence, count=count)) is None
    assert backend.log.tail(LANE) == record(12, count=90).tail


@pytest.mark.parametrize(
    ("before", "expected"), [(0, None), (1, 0), (9, 0), (10, 9), (12, 9), (13, 12), (2**40, 12)]
)
def test_the_tail_before_a_sequence_is_that_of_the_last_record_that_begins_before_it(
    backend: Backend, before: int, expected: int | None
) -> None:
    records = {sequence: record(sequence, count=count) for sequence, count in ((0, 9), (9, 3), (12, 90))}
    for log_record in records.values():
        backend.log.append(log_record)
    tail = backend.log.tail(LANE, before=SequenceNumber(before))
    assert tail == (EMPTY_TAIL if expected is None else records[expected].tail)


@pytest.mark.parametrize(
    ("before", "expected"), [(0, []), (1, [0]), (9, [0]), (10, [0, 9]), (12, [0, 9]), (2**40, [0, 9, 12])]
)
def test_a_read_ends_before_a_sequence(backend: Backend, before: int, expected: list[int]) -> None:
    for sequence, count in ((0, 9), (9, 3), (12, 90)):
        backend.log.append(record(sequence, count=count))
    page = backend.log.read(LANE, SequenceNumber(0), records_max=10, before=SequenceNumber(before))
    assert ([record.sequence for record in page.records], page.more) == (expected, False)
    assert backend.log.read(LANE, SequenceNumber(9), records_max=10, before=SequenceNumber(9)).records == ()


def test_an_appended_record_is_read_back_bit_for_bit(backend: Backend) -> None:
    written = replace(record(count=3, payload=bytes(range(256)) * 9), expires_at=1_800_000_000)
    assert backend.log.append(written) is None
    assert backend.log.read(LANE, SequenceNumber(0), records_max=10).records == (written,)


def test_an_append_where_somebody_wrote_returns_who_stands_there_and_changes_nothing(
    backend: Backend,
) -> None:
    first, second = record(batch=b"first", count=2), record(batch=b"second")
    assert backend.log.append(first) is None
    assert backend.log.append(second) == first
    assert backend.log.read(LANE, SequenceNumber(0), records_max=10).records == (first,)
    assert backend.log.tail(LANE) == first.tail


def test_a_producer_that_appends_again_meets_its_own_batch(backend: Backend) -> None:
    mine = record(batch=b"mine")
    assert backend.log.append(mine) is None
    assert backend.log.append(mine) == mine


def test_a_lost_reply_to_an_append_never_writes_twice_and_shows_the_own_batch(backend: Backend) -> None:
    mine = record(batch=b"mine")
    backend.lose_replies(1)
    occupant = backend.log.append(mine)
    assert occupant is None or occupant.batch_id == mine.batch_id
    assert backend.log.read(LANE, SequenceNumber(0), records_max=10).records == (mine,)


def test_an_append_that_gets_no_reply_at_all_says_that_its_outcome_is_unknown(backend: Backend) -> None:
    backend.lose_replies(3)
    with pytest.raises(OutcomeUnknownError) as raised:
        backend.log.append(record(batch=b"mine"))
    assert raised.value.retryable
    assert not raised.value.no_effect
    assert backend.log.tail(LANE).sequence == 1


def test_a_record_that_no_table_takes_is_refused_without_effect(backend: Backend) -> None:
    with pytest.raises(RefusedError) as raised:
        backend.log.append(record(payload=bytes(400 * 1024)))
    assert raised.value.no_effect
    assert backend.log.tail(LANE) == EMPTY_TAIL


@pytest.mark.parametrize(
    "other",
    [
        Lane(HOME, Generation(0), LaneIndex(10)),
        Lane(HOME, Generation(1), LaneIndex(1)),
        Lane(AWAY, Generation(0), LaneIndex(1)),
        Lane(Region("us-east-2"), Generation(0), LaneIndex(1)),
    ],
    ids=str,
)
def test_lanes_know_nothing_of_each_other(backend: Backend, other: Lane) -> None:
    assert backend.log.append(record(lane=other, count=5)) is None
    assert backend.log.tail(LANE) == EMPTY_TAIL
    assert backend.log.read(LANE, SequenceNumber(0), records_max=10).records == ()
    assert backend.log.append(record()) is None
    assert backend.log.tail(other).sequence == 5


@pytest.mark.parametrize("records_max", [1, 2, 3, 100])
def test_pages_follow_the_numbers_and_lead_through_the_whole_lane(backend: Backend, records_max: int) -> None:
    sequences = [0, 1, 9, 10, 11, 99, 100, 1000]
    for sequence in reversed(sequences):
        backend.log.append(record(sequence))
    assert all_sequences(backend, records_max=records_max) == sequences


def test_a_read_starts_at_its_start_or_behind_it_and_shows_holes_as_they_are(backend: Backend) -> None:
    for sequence in (0, 4, 8):
        backend.log.append(record(sequence, count=2))
    assert all_sequences(backend, 4, records_max=10) == [4, 8]
    assert all_sequences(backend, 5, records_max=10) == [8]
    assert all_sequences(backend, 9, records_max=10) == []


def test_a_page_ends_where_a_query_does_and_says_that_more_may_follow(backend: Backend) -> None:
    for sequence in range(6):
        backend.log.append(record(sequence, payload=b"\x01" + bytes(250 * 1024)))
    page = backend.log.read(LANE, SequenceNumber(0), records_max=100)
    assert 0 < len(page.records) < 6
    assert page.more
    assert all_sequences(backend, records_max=100) == list(range(6))


@pytest.mark.parametrize(
    "damage",
    [{"c": None}, {"n": {"N": "0"}}, {"n": {"S": "1"}}, {"d": {"S": "text"}}, {"t": None}, {"b": None}],
    ids=lambda damage: "-".join(damage),
)
def test_an_undecodable_record_is_raised_where_it_is_the_first_and_ends_the_page_where_it_is_not(
    backend: Backend, damage: dict[str, dict[str, str] | None]
) -> None:
    item = {**record_item.to_item(record(1)), **damage}
    backend.log.append(record(0))
    backend.put(LOG_TABLE, {name: value for name, value in item.items() if value is not None})
    backend.log.append(record(2))
    page = backend.log.read(LANE, SequenceNumber(0), records_max=10)
    assert [r.sequence for r in page.records] == [0]
    assert page.more
    with pytest.raises(UndecodableRecordError) as raised:
        backend.log.read(LANE, SequenceNumber(1), records_max=10)
    assert (raised.value.lane, raised.value.sequence) == (LANE, 1) or raised.value.lane == str(LANE)
    assert all_sequences(backend, 2, records_max=10) == [2]


class TestRecent:
    """The newest records, as they stand there."""

    def test_the_newest_come_first_whole_and_as_far_as_was_asked_for(self, backend: Backend) -> None:
        first, second, third = (
            replace(record(first_sequence, count=4), expires_at=9) for first_sequence in (0, 4, 8)
        )
        for log_record in (first, second, third):
            assert backend.log.append(log_record) is None
        assert backend.log.recent(LANE, records_max=2) == Recent((third, second), (), None, more=True)
        assert backend.log.recent(LANE, records_max=9) == Recent((third, second, first), (), None, more=False)
        assert backend.log.recent(LANE, records_max=9, before=SequenceNumber(8)).records == (second, first)

    def test_what_cannot_be_decoded_is_reported_and_left_out(self, backend: Backend) -> None:
        backend.log.append(record(0, count=4))
        item = {**record_item.to_item(record(1 << 40)), "n": {"N": str(2**70)}}
        backend.put(LOG_TABLE, item | {"t": {"S": "no set"}})
        recent = backend.log.recent(LANE, records_max=2)
        assert (recent.records, recent.unreadable) == ((record(0, count=4),), (1 << 40,))


class TestPlace:
    """The noted place at which a lane goes on, even if all its records are gone."""

    def test_a_lane_without_a_place_has_none(self, backend: Backend) -> None:
        backend.log.append(record(0))
        assert backend.log.place(LANE) is None

    def test_the_furthest_place_is_kept_and_no_reader_takes_it_for_a_record(self, backend: Backend) -> None:
        later, earlier = record(9, count=3).tail, record(0, count=4).tail
        backend.log.hold_place(LANE, later)
        backend.log.hold_place(LANE, earlier)
        assert backend.log.place(LANE) == later
        assert backend.log.recent(LANE, records_max=2) == Recent((), (), later, more=False)
        assert (backend.log.tail(LANE), backend.log.tail(LANE, before=SequenceNumber(1))) == (
            EMPTY_TAIL,
            EMPTY_TAIL,
        )
        assert all_sequences(backend, records_max=2) == []
        backend.log.append(record(12))
        assert backend.log.recent(LANE, records_max=2).place == later
        assert all_sequences(backend, records_max=2) == [12]


def test_what_is_set_aside_is_out_of_the_lane_and_kept_as_it_stood(backend: Backend) -> None:
    far = Intervention(LANE, SequenceNumber(1 << 40), by="ana", reason="nobody knows it", at_ms=5)
    for log_record in (record(0), record(1 << 40)):
        backend.log.append(log_record)
    backend.log.set_aside(replace(far, sequence=SequenceNumber(7)))
    assert backend.log.interventions(LANE) == ()
    backend.log.set_aside(far)
    backend.log.set_aside(far)
    assert (backend.log.interventions(LANE), all_sequences(backend, records_max=9)) == ((far,), [0])


def test_all_that_was_set_aside_is_listed_however_large_it_is(backend: Backend) -> None:
    for number in range(5):
        item: Item = {"pk": {"S": str(LANE)}, "sk": {"N": str(number)}, "junk": {"B": bytes(300_000)}}
        backend.put(LOG_TABLE, item)
        aside = Intervention(LANE, SequenceNumber(number), by="ana", reason=f"junk {number}", at_ms=5)
        backend.log.set_aside(aside)
    assert [intervention.reason for intervention in backend.log.interventions(LANE)] == [
        f"junk {number}" for number in range(5)
    ]


@pytest.mark.parametrize("write", [1, 2])
def test_what_is_being_set_aside_when_the_process_ends_is_lost_at_no_moment(
    backend: Backend, write: int
) -> None:
    far = Intervention(LANE, SequenceNumber(1 << 40), by="ana", reason="nobody knows it", at_ms=5)
    for log_record in (record(0), record(1 << 40)):
        backend.log.append(log_record)
    backend.crash_before_write(write)
    with pytest.raises(SimulatedCrash):
        backend.log.set_aside(far)
    assert all_sequences(backend, records_max=9) == [0, 1 << 40]
    assert backend.log.interventions(LANE) == ((far,) if write == 2 else ())
    backend.log.set_aside(far)
    assert (backend.log.interventions(LANE), all_sequences(backend, records_max=9)) == ((far,), [0])


def test_of_each_kind_of_intervention_one_a_sequence_is_on_record(backend: Backend) -> None:
    aside = Intervention(LANE, SequenceNumber(7), by="ana", reason="nobody knows it", at_ms=5)
    restored = replace(aside, kind=InterventionKind.RESTORED, reason="lost")
    backend.log.append(record(0))
    for intervention in (restored, aside, replace(restored, at_ms=9)):
        backend.log.note(intervention)
    assert backend.log.interventions(LANE) == (aside, replace(restored, at_ms=9))
    assert all_sequences(backend, records_max=9) == [0]


@pytest.mark.parametrize("chain", [Chain(b"c" * 16), pin_of(record(5_009))])
def test_a_skip_is_read_as_it_was_put_and_the_lane_goes_on_behind_it(backend: Backend, chain: Chain) -> None:
    before = record(0, count=9)
    backend.log.append(before)
    until = Tail(SequenceNumber(5_009), chain, HybridTime(before.time + 1))
    by = SkippedBy("ana", "no backup has it", 5)
    skip = skip_at(before.tail, LANE, until=until, chain=chain, expires_at=None, skipped=by)
    assert backend.log.append(skip) is None
    assert backend.log.append(skip) == skip
    assert backend.log.read(LANE, SequenceNumber(0), records_max=9).records == (before, skip)
    assert backend.log.tail(LANE) == until
    assert backend.log.recent(LANE, records_max=1).records == (skip,)
    assert skip.extends(before.chain)
    assert not skip.extends(EMPTY_TAIL.chain)


def test_a_seal_is_read_as_it_was_put_and_shows_in_the_tail(backend: Backend) -> None:
    first = record()
    seal = seal_at(first.tail, LANE, now_ms=1_790_000_000_000)
    assert backend.log.append(first) is None
    assert not backend.log.tail(LANE).is_sealed
    assert backend.log.append(seal) is None
    assert backend.log.read(LANE, SequenceNumber(0), records_max=9).records == (first, seal)
    assert backend.log.recent(LANE, records_max=1).records == (seal,)
    tail = backend.log.tail(LANE)
    assert (tail, tail.is_sealed) == (seal.tail, True)
    assert not backend.log.tail(LANE, before=seal.sequence).is_sealed
    assert tail_behind(tail) == seal.tail
    assert not tail_behind(tail).is_sealed


def test_a_record_that_comes_too_late_meets_the_seal(backend: Backend) -> None:
    seal = seal_at(EMPTY_TAIL, LANE, now_ms=1_790_000_000_000)
    assert backend.log.append(seal) is None
    assert backend.log.append(record()) == seal
    assert backend.log.append(seal) == seal
