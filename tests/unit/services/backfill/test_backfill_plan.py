"""The plan of a backfill: its slices, to the seam; its messages about lanes that cannot be copied; and its reads."""

from dataclasses import replace

import pytest

from eventfabric.model import EMPTY_TAIL, Record, SequenceNumber, StreamName, chain_of
from eventfabric.model.backfill import LaneRange, Seam, Slice, SliceProgress
from eventfabric.services.backfill.plan import Planner
from eventfabric.wire import record_item
from tests.support.backfill_regions import SOURCE, TARGET, BackfillRegions
from tests.support.memory_fabric import STREAM, lane
from tests.support.messages import TextWith
from tests.support.recorded_reads import Read, RecordingLog

START = Seam.of(EMPTY_TAIL)


class WatchedPlanner:
    """A planner of the first lane, whose reads of both logs are remembered."""

    def __init__(self, fabric: BackfillRegions, *, slice_events: int | None = None) -> None:
        self.source, self.target = RecordingLog(fabric.log(SOURCE)), RecordingLog(fabric.log(TARGET))
        self._planner = Planner(
            StreamName(STREAM),
            SOURCE,
            TARGET,
            source_log=self.source,
            target_log=self.target,
            clock=fabric.clock,
            slice_events=slice_events,
        )

    def __call__(self, start: int = 0, end: int | None = None) -> list[SliceProgress]:
        """Its slices."""
        lane_range = LaneRange(lane(), SequenceNumber(start), None if end is None else SequenceNumber(end))
        return [
            progress for progress in self._planner.plan(lane_range) if isinstance(progress, SliceProgress)
        ]


def progress(start: Seam, end: Seam, missing: int = 0, failure: str = "") -> SliceProgress:
    planned = Slice(StreamName(STREAM), lane(), start, end, SOURCE, TARGET)
    return SliceProgress(planned, start, missing, failure=failure)


def failure(sequence: int, *facts: object) -> str:
    """Return the failure of a slice whose records differ at a sequence."""
    return TextWith(f"record {sequence} of lane {lane()}", *facts)


def others_before(sequence: int) -> str:
    """Return the failure of a slice before whose end source and target differ."""
    return failure(sequence, "source and target", "before it")


def bounds(slices: list[SliceProgress]) -> list[tuple[int, int, int]]:
    return [
        (progress.slice.start.sequence, progress.slice.end.sequence, progress.missing) for progress in slices
    ]


def behind(record: Record) -> Seam:
    return Seam.of(record.tail)


def filled(records: int = 5, **settings: int) -> tuple[BackfillRegions, list[Record]]:
    fabric = BackfillRegions(**settings)
    return fabric, fabric.fill(records)


def undecodable(fabric: BackfillRegions, record: Record) -> None:
    table = fabric.cloud.log_table(fabric.stream.name, SOURCE)
    table.write("Put", {"Item": {**record_item.to_item(record), "n": {"N": "0"}}})


class TestSlices:
    """From seam to seam."""

    def test_an_empty_target_lacks_all_from_the_first_record_to_the_tail(self) -> None:
        fabric, made = filled()
        plan = WatchedPlanner(fabric)
        assert plan() == [progress(START, behind(made[4]), 500)]
        assert (plan.source.reads, plan.target.reads) == ([Read(lane(), 0, 1)], [])
        assert plan.source.tails == [(lane(), None)]
        assert plan.target.tails == [(lane(), 500)]

    def test_a_range_starts_in_the_seam_before_its_first_record(self) -> None:
        fabric, made = filled()
        assert WatchedPlanner(fabric)(200, 400) == [progress(behind(made[1]), behind(made[3]), 200)]
        assert WatchedPlanner(fabric)(150, 400) == [progress(behind(made[1]), behind(made[3]), 200)]

    def test_where_the_source_has_lost_the_record_before_the_target_may_tell_of_it(self) -> None:
        fabric, made = filled()
        fabric.copy_to_target(made[:2])
        for record in made[:2]:
            fabric.remove(record)
        assert WatchedPlanner(fabric)(200) == [progress(behind(made[1]), behind(made[4]), 300)]

    def test_where_nobody_has_it_nothing_is_known_of_what_is_before(self) -> None:
        fabric, made = filled()
        for record in made[:2]:
            fabric.remove(record)
        assert WatchedPlanner(fabric)() == [progress(Seam(SequenceNumber(200), None), behind(made[4]), 300)]

    def test_a_gap_ends_in_the_seam_that_the_source_has_there(self) -> None:
        fabric, made = filled()
        fabric.copy_to_target([made[0], *made[3:]])
        plan = WatchedPlanner(fabric, slice_events=300)
        assert plan() == [progress(behind(made[0]), behind(made[2]), 200)]
        # The tail, the record before the first gap, the one before its end.
        assert plan.source.tails == [(lane(), None), (lane(), 100), (lane(), 300)]

    def test_or_in_one_of_which_nothing_is_known_where_the_source_lacks_the_record_before(self) -> None:
        fabric, made = filled()
        fabric.copy_to_target(made[3:])
        fabric.remove(made[2])
        assert WatchedPlanner(fabric)() == [progress(START, Seam(SequenceNumber(300), None), 300)]

    def test_what_is_about_to_expire_is_looked_through_a_page_at_a_time_and_left_out(self) -> None:
        fabric, _ = filled(records=150, retention_days=1)
        fabric.clock.advance(86_401)
        plan = WatchedPlanner(fabric)
        assert plan() == []
        assert plan.source.reads == [Read(lane(), 0, 1), Read(lane(), 100, 100), Read(lane(), 10_100, 100)]
        fabric.fill(1)
        assert bounds(WatchedPlanner(fabric)()) == [(15_000, 15_100, 100)]

    @pytest.mark.parametrize(("left_seconds", "start"), [(1, 0), (0, 100)])
    def test_a_record_is_copied_up_to_the_second_in_which_it_expires(
        self, left_seconds: int, start: int
    ) -> None:
        fabric, made = filled(records=1, retention_days=1)
        assert made[0].expires_at is not None
        fabric.clock.advance(made[0].expires_at - left_seconds - fabric.clock.now_ms() / 1000)
        fabric.fill(1)
        assert bounds(WatchedPlanner(fabric)()) == [(start, 200, 200 - start)]


class TestCuts:
    """A slice holds so many events, give or take a record."""

    def test_a_gap_of_just_so_many_is_one_slice_and_nothing_is_asked_for(self) -> None:
        fabric, _ = filled(3)
        plan = WatchedPlanner(fabric, slice_events=300)
        assert bounds(plan()) == [(0, 300, 300)]
        assert plan.source.tails == [(lane(), None)]

    def test_one_of_more_is_cut_where_a_record_ends(self) -> None:
        fabric, made = filled(3)
        assert WatchedPlanner(fabric, slice_events=299)() == [progress(START, behind(made[2]), 300)]
        assert WatchedPlanner(fabric, slice_events=150)() == [
            progress(START, behind(made[1]), 200),
            progress(behind(made[1]), behind(made[2]), 100),
        ]

    def test_a_record_is_never_cut_and_no_slice_is_empty(self) -> None:
        fabric, _ = filled(1)
        assert bounds(WatchedPlanner(fabric, slice_events=50)()) == [(0, 100, 100)]

    def test_a_hole_in_the_source_that_is_larger_is_not_cut(self) -> None:
        fabric, made = filled()
        for record in made[1:4]:
            fabric.remove(record)
        assert bounds(WatchedPlanner(fabric, slice_events=100)()) == [(0, 100, 100), (100, 500, 400)]

    @pytest.mark.parametrize(
        ("slice_events", "expected"),
        [(300, [(500, 800, 200)]), (299, [(500, 600, 100), (700, 800, 100)])],
    )
    def test_gaps_of_a_page_are_one_slice_as_long_as_all_from_first_to_last_fits(
        self, slice_events: int, expected: list[tuple[int, int, int]]
    ) -> None:
        fabric, made = filled(10)
        fabric.copy_to_target(record for number, record in enumerate(made) if number not in (5, 7))
        assert bounds(WatchedPlanner(fabric, slice_events=slice_events)()) == expected


def forged(made: list[Record], position: int) -> list[Record]:
    """The records from one on, which is another: each on the chain of the one before it."""
    records, before = list[Record](), made[position - 1].chain
    for record in made[position:]:
        changed = replace(record, payload=record.payload + b".")
        changed = replace(changed, chain=chain_of(before, changed))
        records.append(changed)
        before = changed.chain
    return records


class TestWhatCannotBeCopied:
    """A worker would find the same."""

    def test_a_record_of_the_source_that_cannot_be_read(self) -> None:
        fabric, made = filled()
        undecodable(fabric, made[2])
        for asked, start in ((200, behind(made[1])), (150, behind(made[1]))):
            (slice_progress,) = WatchedPlanner(fabric)(asked)
            assert f"record 200 of lane {lane()}: " in slice_progress.failure
            assert slice_progress == replace(progress(start, behind(made[4])), failure=slice_progress.failure)
        undecodable(fabric, made[0])
        (slice_progress,) = WatchedPlanner(fabric)()
        assert slice_progress == replace(progress(START, behind(made[4])), failure=slice_progress.failure)

    def test_a_target_that_is_another_before_a_gap(self) -> None:
        fabric, made = filled()
        fabric.copy_to_target([made[0], *forged(made, 1)[:2]])
        expected = progress(START, behind(made[4]), 0, others_before(300))
        assert WatchedPlanner(fabric)() == [expected]

    def test_a_target_that_is_another_at_the_end(self) -> None:
        fabric, made = filled()
        fabric.copy_to_target([made[0], *forged(made, 1)])
        assert WatchedPlanner(fabric)() == [progress(START, behind(made[4]), 0, others_before(500))]

    @pytest.mark.parametrize(
        ("first", "expected"),
        [(2, others_before(500)), (1, failure(200, "chain before it"))],
    )
    def test_behind_a_gap_it_fails_from_where_both_agreed_last(self, first: int, expected: str) -> None:
        fabric, made = filled()
        fabric.copy_to_target([made[0], *forged(made, first)[2 - first :]])
        assert WatchedPlanner(fabric)() == [
            progress(behind(made[0]), behind(made[1]), 100),
            progress(behind(made[1]), behind(made[4]), 0, expected),
        ]
