"""Walks of a lane, by a backfill and by a proof: reads, their extent, and the record that ends the walk."""

from dataclasses import replace

import pytest

from eventfabric.errors import DivergenceError, LogError, MissingRecordError
from eventfabric.model import EMPTY_TAIL, Record, SequenceNumber, chain_of
from eventfabric.model.backfill import Seam
from eventfabric.ports import Log
from eventfabric.services.backfill.walk import Walk
from eventfabric.services.proof.trail import Trail
from tests.support.backfill_regions import SOURCE, BackfillRegions
from tests.support.memory_fabric import lane
from tests.support.messages import TextWith
from tests.support.recorded_reads import Read, RecordingLog

START = Seam.of(EMPTY_TAIL)


def fields(error: LogError) -> tuple[object, int, str]:
    return error.lane, error.sequence, error.reason


def filled(records: int = 5, events: int = 100) -> tuple[BackfillRegions, list[Record]]:
    fabric = BackfillRegions()
    return fabric, fabric.fill(records, events=events)


def walk(log: Log, end: int, start: Seam = START) -> Walk:
    return Walk(log, lane(), start, SequenceNumber(end))


class TestWalk:
    """From gap to gap, a page at a time."""

    def test_one_tail_is_asked_for_and_then_a_page_at_a_time_up_to_the_end(self) -> None:
        fabric, made = filled(150, events=1)
        log = RecordingLog(fabric.log(SOURCE))
        scan = walk(log, 120)
        assert (scan.step(), scan.position) == (None, Seam.of(made[99].tail))
        assert (scan.step(), scan.position) == (None, Seam.of(made[119].tail))
        assert log.tails == [(lane(), 120)]
        assert log.reads == [Read(lane(), 0, 100, 120), Read(lane(), 100, 100, 120)]
        assert (scan.step(), len(log.tails), len(log.reads)) == (None, 1, 2)

    def test_a_gap_ends_where_the_next_record_stands_and_whoever_knows_it_goes_on_behind(self) -> None:
        fabric, made = filled()
        fabric.remove(made[1])
        log = RecordingLog(fabric.log(SOURCE))
        scan = walk(log, 500)
        assert (scan.step(), scan.position) == (200, Seam.of(made[0].tail))
        assert (scan.step(), scan.position) == (200, Seam.of(made[0].tail))
        scan.position = Seam.of(made[1].tail)
        assert (scan.step(), scan.position) == (None, Seam.of(made[4].tail))
        assert log.reads == [Read(lane(), 0, 100, 500)]

    def test_where_a_lane_ends_early_all_up_to_the_end_is_a_gap_of_which_nothing_is_read(self) -> None:
        fabric, made = filled(2)
        log = RecordingLog(fabric.log(SOURCE))
        scan = walk(log, 500)
        assert (scan.step(), scan.position) == (500, Seam.of(made[1].tail))
        log.reads.clear()
        assert scan.step() == 500
        scan.position = Seam(SequenceNumber(500), None)
        assert scan.step() is None
        assert log.reads == []

    def test_a_record_that_lies_across_the_end_ends_it(self) -> None:
        fabric, made = filled()
        scan = walk(fabric.log(SOURCE), 250)
        with pytest.raises(DivergenceError) as raised:
            scan.step()
        assert fields(raised.value) == (lane(), 200, "lies across sequence 250")
        assert scan.position == Seam.of(made[1].tail)

    def test_a_record_that_lies_over_the_one_before_it_ends_it(self) -> None:
        fabric, made = filled()
        fabric.overwrite(replace(made[1], sequence=SequenceNumber(150)), region=SOURCE)
        scan = walk(fabric.log(SOURCE), 500)
        with pytest.raises(DivergenceError) as raised:
            scan.step()
        assert fields(raised.value) == (lane(), 150, TextWith("sequence 200"))

    def test_a_record_that_does_not_extend_the_chain_ends_it(self) -> None:
        fabric, made = filled()
        fabric.overwrite(replace(made[2], payload=b"another"), region=SOURCE)
        scan = walk(fabric.log(SOURCE), 500)
        with pytest.raises(DivergenceError) as raised:
            scan.step()
        assert fields(raised.value) == (lane(), 200, TextWith("chain before it"))
        assert scan.position == Seam.of(made[1].tail)

    def test_behind_a_record_that_nobody_knows_any_chain_will_do_and_binds_what_follows(self) -> None:
        fabric, made = filled()
        start = Seam(SequenceNumber(200), None)
        assert walk(fabric.log(SOURCE), 500, start).step() is None
        fabric.overwrite(replace(made[3], payload=b"another"), region=SOURCE)
        with pytest.raises(DivergenceError) as raised:
            walk(fabric.log(SOURCE), 500, start).step()
        assert raised.value.sequence == 300


class TestTrail:
    """Every record behind the last one is looked at, whatever it lies over."""

    def test_each_page_begins_right_behind_the_start_of_the_last_record(self) -> None:
        fabric, made = filled(150)
        log = RecordingLog(fabric.log(SOURCE))
        trail = Trail(log, lane(), expired_ms=None)
        assert list(trail.walk(SequenceNumber(12_000))) == made[:120]
        assert log.reads == [Read(lane(), 0, 100, 12_000), Read(lane(), 9_901, 100, 12_000)]
        assert (trail.position, trail.before, trail.first) == (
            Seam.of(made[119].tail),
            Seam.of(made[118].tail),
            0,
        )

    def test_a_record_over_another_ends_it_with_where_the_other_ends(self) -> None:
        fabric, made = filled()
        over = replace(made[1], sequence=SequenceNumber(150))
        fabric.overwrite(replace(over, chain=chain_of(made[1].chain, over)), region=SOURCE)
        with pytest.raises(DivergenceError) as raised:
            list(Trail(fabric.log(SOURCE), lane(), expired_ms=None).walk(SequenceNumber(500)))
        assert fields(raised.value) == (lane(), 150, TextWith("record before it", "ends at 200"))

    def test_a_record_that_is_missing_ends_it_where_it_should_stand(self) -> None:
        fabric, made = filled()
        fabric.remove(made[1])
        with pytest.raises(MissingRecordError) as raised:
            list(Trail(fabric.log(SOURCE), lane(), expired_ms=None).walk(SequenceNumber(500)))
        assert fields(raised.value) == (lane(), 100, TextWith("missing", "at 200"))

    def test_a_record_of_another_chain_ends_it(self) -> None:
        fabric, made = filled()
        fabric.overwrite(replace(made[2], payload=b"another"), region=SOURCE)
        with pytest.raises(DivergenceError) as raised:
            list(Trail(fabric.log(SOURCE), lane(), expired_ms=None).walk(SequenceNumber(500)))
        assert fields(raised.value) == (lane(), 200, TextWith("record before it"))

    def test_where_records_expire_the_oldest_one_is_taken_as_it_is(self) -> None:
        fabric, made = filled()
        fabric.remove(made[0])
        trail = Trail(fabric.log(SOURCE), lane(), expired_ms=fabric.clock.now_ms())
        steps = [(record.sequence, trail.before, trail.first) for record in trail.walk(SequenceNumber(300))]
        assert steps == [
            (100, Seam(SequenceNumber(100), None), 200),
            (200, Seam.of(made[1].tail), 200),
        ]
