"""The chain: it accepts the record that was written, and no other."""

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventfabric.model import (
    EMPTY_TAIL,
    Batch,
    BatchId,
    Chain,
    Generation,
    HybridTime,
    Lane,
    LaneIndex,
    Note,
    Record,
    Region,
    SequenceNumber,
    chain_of,
    next_time,
    record_at,
    to_ms,
)
from tests.support.strategies import lanes

LANE = Lane(Region("us-east-1"), Generation(0), LaneIndex(7))


def batch(number: int, count: int = 1) -> Batch:
    return Batch(BatchId(bytes([number]) * 16), count, frozenset({"placed"}), b"payload")


def written(count: int = 1) -> Record:
    return record_at(EMPTY_TAIL, LANE, batch(1, count), now_ms=1_790_000_000_000, retention_seconds=60)


CHANGED: dict[str, object] = {
    "lane": Lane(Region("us-east-1"), Generation(0), LaneIndex(8)),
    "sequence": SequenceNumber(1),
    "count": 2,
    "chain": Chain(b"x" * 16),
    "batch_id": BatchId(b"x" * 16),
    "time": HybridTime(1),
    "types": frozenset({"paid"}),
    "payload": b"payloaD",
    "note": Note(LANE, SequenceNumber(0)),
}


def test_every_field_but_the_expiry_is_bound_by_the_chain() -> None:
    # Who decided about a skip, and why, nobody acts on; nor does this version on what it does not know.
    assert {field.name for field in fields(Record)} == {*CHANGED, "expires_at", "skipped", "unknown"}


@pytest.mark.parametrize("name", CHANGED)
def test_a_record_with_any_field_changed_does_not_extend_the_chain(name: str) -> None:
    changed: Record = replace(written(), **{name: CHANGED[name]})  # type: ignore[arg-type]  # by name
    assert written().extends(EMPTY_TAIL.chain)
    assert not changed.extends(EMPTY_TAIL.chain)


def test_records_without_a_note_keep_the_chain_that_they_always_had() -> None:
    assert written().chain.hex() == "80a2204e2901041af5fd475b8e85719a"


def test_records_with_a_note_keep_the_chain_that_they_always_had() -> None:
    noted_record = replace(
        written(), note=Note(Lane(Region("eu-west-1"), Generation(0), LaneIndex(3)), SequenceNumber(5))
    )
    assert chain_of(EMPTY_TAIL.chain, noted_record).hex() == "38b50bc3fc62bfb288fa6f7287dffaad"


@pytest.mark.parametrize("name", ["lane", "sequence"])
def test_every_part_of_a_note_is_bound_by_the_chain(name: str) -> None:
    noted_record = record_at(
        EMPTY_TAIL,
        LANE,
        replace(batch(1), note=Note(LANE, SequenceNumber(5))),
        now_ms=1,
        retention_seconds=None,
    )
    assert noted_record.note is not None
    assert noted_record.extends(EMPTY_TAIL.chain)
    changed = replace(noted_record.note, **{name: CHANGED[name]})  # type: ignore[arg-type]  # by name
    assert not replace(noted_record, note=changed).extends(EMPTY_TAIL.chain)
    assert not replace(noted_record, note=None).extends(EMPTY_TAIL.chain)


def test_a_note_passes_for_no_type() -> None:
    """Neither the text of a lane among the types, nor a note in their place, makes the same chain."""
    noted_record = replace(written(), note=Note(LANE, SequenceNumber(0)))
    for text in (str(LANE), f"{LANE}/0", "noted"):
        typed = replace(written(), types=frozenset({"placed", text}))
        assert chain_of(EMPTY_TAIL.chain, typed) != chain_of(EMPTY_TAIL.chain, noted_record)


def test_the_expiry_may_differ_since_no_reader_acts_on_it() -> None:
    assert replace(written(), expires_at=None).extends(EMPTY_TAIL.chain)


def test_a_record_extends_only_the_chain_that_it_was_written_on() -> None:
    first = written()
    second = record_at(first.tail, LANE, batch(2), now_ms=1, retention_seconds=None)
    assert second.extends(first.chain)
    assert not second.extends(EMPTY_TAIL.chain)
    assert not first.extends(first.chain)


@pytest.mark.parametrize(
    ("first", "other"),
    [({"ab", "c"}, {"a", "bc"}), ({"a"}, {"a", ""}), ({"a,b"}, {"a", "b"})],
)
def test_types_that_run_together_to_the_same_text_are_different(first: set[str], other: set[str]) -> None:
    chain_one, chain_other = (
        chain_of(EMPTY_TAIL.chain, replace(written(), types=frozenset(types))) for types in (first, other)
    )
    assert chain_one != chain_other


@given(
    lanes, st.lists(st.integers(1, 1000), max_size=6), st.lists(st.integers(0, 2**45), min_size=6, max_size=6)
)
def test_records_put_after_each_other_leave_no_hole_and_never_run_back_in_time(
    lane: Lane, counts: list[int], clock: list[int]
) -> None:
    tail, events = EMPTY_TAIL, 0
    for number, count in enumerate(counts):
        record = record_at(tail, lane, batch(number, count), now_ms=clock[number], retention_seconds=None)
        assert record.sequence == events
        assert record.extends(tail.chain)
        assert record.time > tail.time
        events += count
        tail = record.tail
    assert tail.sequence == events


@given(st.integers(0, 2**47 - 2), st.integers(0, 2**47 - 2))  # behind that it stands still
def test_the_hybrid_clock_follows_the_wall_clock_unless_that_runs_back(before_ms: int, now_ms: int) -> None:
    before = next_time(HybridTime(0), before_ms)
    time = next_time(before, now_ms)
    assert time > before
    if now_ms > before_ms:
        assert to_ms(time) == now_ms


def test_a_record_expires_as_long_after_its_append_as_the_stream_keeps_it() -> None:
    assert written().expires_at == 1_790_000_060
