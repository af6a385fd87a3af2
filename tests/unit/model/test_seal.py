"""Seals: records that end a lane, and the lanes that go on behind them."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventfabric import limits
from eventfabric.errors import UndecodableRecordError
from eventfabric.model import (
    EMPTY_TAIL,
    GENERATION_FIRST,
    Batch,
    BatchId,
    Chain,
    Generation,
    HybridTime,
    Lane,
    LaneIndex,
    Record,
    Region,
    SequenceNumber,
    Tail,
    child_of,
    lane_index,
    lane_of,
    record_at,
    seal_at,
    tail_behind,
)

US = Region("us-east-1")
LANE = Lane(US, Generation(1), LaneIndex(6))
LANES = 8
FIRST = record_at(
    EMPTY_TAIL,
    LANE,
    Batch(BatchId(b"b" * 16), 3, frozenset({"placed"}), b"events"),
    now_ms=2**40,
    retention_seconds=60,
)


def test_a_seal_takes_one_sequence_and_holds_nothing_that_expires() -> None:
    seal = seal_at(FIRST.tail, LANE, now_ms=1)
    assert (seal.sequence, seal.count, seal.expires_at) == (3, 1, None)
    assert seal.is_seal
    assert seal.is_without_events
    assert not seal.is_skip
    assert seal.tail.is_sealed
    assert not FIRST.tail.is_sealed
    assert seal.time > FIRST.time


def test_a_seal_extends_the_chain_before_it_and_no_other() -> None:
    seal = seal_at(FIRST.tail, LANE, now_ms=2**41)
    assert seal.extends(FIRST.chain)
    assert not seal.extends(Chain(b"x" * 16))
    other = Lane(US, Generation(1), LaneIndex(7))
    assert not replace(seal, lane=other).extends(FIRST.chain)
    assert not replace(seal, payload=b"2.0 2.1").extends(FIRST.chain)


def test_a_child_goes_on_counting_behind_the_seal() -> None:
    seal = seal_at(FIRST.tail, LANE, now_ms=2**41)
    tail = tail_behind(seal.tail)
    assert (tail.sequence, tail.chain, tail.time, tail.expires_at) == (4, seal.chain, seal.time, None)
    assert not tail.is_sealed
    child = record_at(tail, LANE.children[0], replace_batch(FIRST), now_ms=2**40, retention_seconds=60)
    assert child.sequence == 4
    assert child.extends(seal.chain)
    assert child.time > seal.time


def replace_batch(record: Record) -> Batch:
    return Batch(record.batch_id, record.count, record.types, record.payload)


def test_no_seal_is_made_where_no_reader_could_take_it() -> None:
    full = Tail(SequenceNumber(limits.SEQUENCE_MAX), EMPTY_TAIL.chain, HybridTime(0))
    with pytest.raises(UndecodableRecordError):
        seal_at(full, LANE, now_ms=1)


@given(st.text(min_size=1, max_size=20), st.sampled_from([1, 2, 8, 64]), st.integers(0, 5))
def test_a_key_of_a_lane_goes_to_one_of_its_children(key: str, lanes: int, generation: int) -> None:
    lane = lane_of(key, US, lanes, generation)
    child = child_of(lane, key, lanes)
    assert child in lane.children
    assert child.parent == lane
    assert child.root == lane.root == Lane(US, GENERATION_FIRST, lane_index(key, lanes))
    assert child.above(generation) == lane
    assert Lane.parse(str(child)) == child


def test_both_children_get_keys() -> None:
    lane = lane_of("k", US, LANES)
    keys = [key for key in map(str, range(400)) if lane_of(key, US, LANES) == lane]
    assert {child_of(lane, key, LANES) for key in keys} == set(lane.children)


@pytest.mark.parametrize(
    ("lanes", "generation", "can"),
    [(64, 5, True), (64, 6, False), (4096, 0, False), (1, 11, True), (1, 12, False)],
)
def test_a_lane_is_split_as_long_as_its_children_would_be_lanes(
    lanes: int, generation: int, can: bool
) -> None:
    last = Lane(US, Generation(generation), LaneIndex((lanes << generation) - 1))
    assert last.can_split(lanes) is can
    if can:
        assert Lane.parse(str(last.children[1])) == last.children[1]


def test_roots_have_no_parent() -> None:
    root = Lane(US, GENERATION_FIRST, LaneIndex(3))
    assert root.is_root
    assert not LANE.is_root
    assert LANE.root == root
    with pytest.raises(AssertionError):
        _ = root.parent
