"""Backfills and their states, and the slices that they hand out, page by page."""

from dataclasses import replace

import pytest

from eventfabric import limits
from eventfabric.errors import BackfillError, Problem
from eventfabric.model import SequenceNumber, StreamName
from eventfabric.model.backfill import Backfill, BackfillState, LaneRange, LaneReport, Planned, SliceProgress
from eventfabric.ports import Log
from eventfabric.services.backfill.lifecycle import Backfiller, Handed
from eventfabric.stream_topology import StreamTopology
from eventfabric.testing.memory.faults import Fault
from tests.support.backfill_regions import SOURCE, TARGET, BackfillRegions
from tests.support.memory_fabric import STREAM, lane


def starts(slices: list[SliceProgress]) -> list[int]:
    return [progress.slice.start.sequence for progress in slices]


def planned(lanes: int = 1, records: int = 5, **settings: object) -> tuple[BackfillRegions, Backfill]:
    """A backfill of so many slices of a record each in every lane, all of them known."""
    fabric = BackfillRegions()
    for number in range(lanes):
        fabric.fill(records, of=lane(number))
    backfill = fabric.begin(slice_events=100, **settings)
    fabric.slices(backfill)
    return fabric, backfill


def known(fabric: BackfillRegions, backfill: Backfill) -> Backfill:
    return fabric.backfiller().find(backfill.id)


class TestBegin:
    def test_all_that_was_asked_for_is_noted(self) -> None:
        fabric = BackfillRegions()
        fabric.fill(3)
        ranges = (LaneRange(lane(), SequenceNumber(100)),)
        made = fabric.begin(*ranges, rate=5.0, workers=3, slice_events=200)
        now_ms = fabric.clock.now_ms()
        assert made == Backfill(
            made.id, StreamName(STREAM), SOURCE, TARGET, ranges, 5.0, 3, 200, "tester", now_ms, version=1
        )
        assert known(fabric, made) == made

    def test_one_of_a_known_id_stays_whatever_is_asked_for_under_it(self) -> None:
        fabric = BackfillRegions()
        made = fabric.backfiller().begin(fabric.wanted(), id="2026-a")
        assert fabric.backfiller().begin(fabric.wanted(stream="none"), id="2026-a") == made

    def test_of_two_that_are_begun_by_one_id_at_once_one_stands_for_both(self) -> None:
        fabric = BackfillRegions()
        made: list[Backfill] = []

        def other_is_faster(called: str, overall: int, of_name: int) -> Fault | None:
            if called == "backfills.replace" and not made:
                made.append(replace(fabric.backfiller().find("other"), id="2026-a", version=0, by="other"))
                stored = fabric.cloud.backfills(TARGET)
                assert stored.replace(None, made[0])
            return None

        fabric.backfiller().begin(fabric.wanted(), id="other")
        fabric.faults.rules.append(other_is_faster)
        backfill = fabric.backfiller().begin(fabric.wanted(), by="mine", id="2026-a")
        assert backfill == replace(made[0], version=1)

    def test_the_log_of_another_account_is_the_one_of_the_very_stream(self) -> None:
        fabric, other = BackfillRegions(), BackfillRegions(seed=5)
        other.fill(5)

        def source_log(stream: StreamTopology) -> Log:
            return {STREAM: other.log(SOURCE)}[stream.name]

        joined = Backfiller(fabric.topology, fabric.ports(), source_log=source_log, elsewhere="an archive")
        made = joined.begin(fabric.wanted(LaneRange(lane(), SequenceNumber(200))))
        (progress,) = joined.hand_out(made.id, "plan").slices
        assert (progress.slice.start.sequence, progress.slice.end.sequence, progress.missing) == (
            200,
            500,
            300,
        )
        assert made.elsewhere == "an archive"
        with pytest.raises(BackfillError) as raised:
            fabric.backfiller().copier(made.id)
        assert raised.value.problems == (Problem(f"source of backfill {made.id}", "none", "an archive"),)

    def test_all_are_listed_the_oldest_first_and_by_their_ids_at_one_time(self) -> None:
        fabric = BackfillRegions()
        for id in ("c", "b", "a"):
            fabric.backfiller().begin(fabric.wanted(), id=id)
            if id == "c":
                fabric.clock.advance(1)
        assert [backfill.id for backfill in fabric.backfiller().all()] == ["c", "a", "b"]


class TestResume:
    def test_only_what_is_given_changes(self) -> None:
        fabric, backfill = planned(rate=5.0, workers=2)
        fabric.backfiller().cancel(backfill.id)
        before = known(fabric, backfill)
        running = replace(before, state=BackfillState.RUNNING, version=before.version + 1)
        assert fabric.backfiller().resume(backfill.id) == running
        more = fabric.backfiller().resume(backfill.id, workers=3)
        assert more == replace(running, workers=3, version=running.version + 1)
        fast = fabric.backfiller().resume(backfill.id, rate=7.0)
        assert fast == replace(more, rate=7.0, version=more.version + 1)

    def test_one_that_is_done_stays_so(self) -> None:
        fabric, backfill = planned()
        fabric.run(backfill)
        done = known(fabric, backfill)
        assert done.state is BackfillState.DONE
        assert fabric.backfiller().resume(backfill.id, rate=7.0) == done
        assert known(fabric, backfill) == done


class TestReport:
    def test_every_slice_counts_once_however_many_pages_they_are(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fabric, backfill = planned(lanes=2)
        copier = fabric.backfiller().copier(backfill.id)
        for progress in fabric.slices(backfill)[:3]:
            copier.copy(progress)
        monkeypatch.setattr(limits, "BACKFILL_HANDED_SLICES", 4)
        before = fabric.faults.count("backfills.slices")
        report = fabric.backfiller().report(backfill.id)
        assert fabric.faults.count("backfills.slices") - before == 3
        assert (report.backfill, list(report.lanes)) == (known(fabric, backfill), [lane(0), lane(1)])
        assert report.lanes == {
            lane(0): LaneReport(5, 2, 500, 2, 200),
            lane(1): LaneReport(5, 1, 500, 1, 100),
        }


class TestHandOut:
    def test_known_slices_come_page_by_page_without_those_that_are_done(self) -> None:
        fabric, backfill = planned()
        backfiller = fabric.backfiller()
        slices = backfiller.hand_out(backfill.id).slices
        backfiller.copier(backfill.id).copy(slices[1])
        first = backfiller.hand_out(backfill.id, count=2)
        assert (starts(first.slices), first.more) == ([0], f"stored {lane()} 100")
        second = backfiller.hand_out(backfill.id, first.more, count=2)
        assert (starts(second.slices), second.more) == ([200, 300], f"stored {lane()} 300")
        third = backfiller.hand_out(backfill.id, second.more, count=2)
        assert (starts(third.slices), third.more) == ([400], None)

    def test_behind_the_known_ones_planning_goes_on_where_it_was(self) -> None:
        fabric = BackfillRegions()
        fabric.fill(3)
        backfill = fabric.begin(slice_events=100)
        backfiller = fabric.backfiller()
        assert backfiller.hand_out(backfill.id) == Handed([], "plan")
        first = backfiller.hand_out(backfill.id, "plan", count=1)
        assert (starts(first.slices), first.more) == ([0], f"plan {lane()} 100")
        assert known(fabric, backfill).planned == Planned(lane(), SequenceNumber(100))
        again = backfiller.hand_out(backfill.id)
        assert (again.slices, again.more) == (first.slices, first.more)
        rest = backfiller.hand_out(backfill.id, first.more)
        assert (starts(rest.slices), rest.more) == ([100, 200], None)
        assert known(fabric, backfill).is_planned

    def test_when_time_is_up_one_lane_at_least_was_looked_at(self) -> None:
        fabric = BackfillRegions(lanes=2)
        backfill = fabric.begin()
        more, asked = "plan", list[str]()
        while more:
            handout = fabric.backfiller().hand_out(backfill.id, more, deadline_ms=fabric.clock.now_ms())
            assert handout.slices == []
            more = handout.more or ""
            asked.append(more)
        assert asked == [*(f"plan {of} 0" for of in (lane(1, TARGET), lane(0), lane(1))), ""]

    def test_a_range_that_is_planned_to_its_end_is_not_looked_at_again(self) -> None:
        fabric = BackfillRegions()
        fabric.fill(5)
        backfill = fabric.begin(LaneRange(lane(), SequenceNumber(0), SequenceNumber(300)))
        handout = fabric.backfiller().hand_out(backfill.id, "plan", count=1)
        assert (starts(handout.slices), handout.more) == ([0], f"plan {lane()} 300")
        fabric.reading.calls.clear()
        assert fabric.backfiller().hand_out(backfill.id, handout.more) == Handed([], None)
        assert fabric.reading.calls == []

    def test_nothing_is_handed_out_of_one_that_does_not_run(self) -> None:
        fabric, backfill = planned()
        fabric.backfiller().cancel(backfill.id)
        for more in (None, "plan", f"stored {lane()} 0"):
            assert fabric.backfiller().hand_out(backfill.id, more) == Handed([], None)
