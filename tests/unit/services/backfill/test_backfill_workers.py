"""Backfill's workers: they go on where another stopped, keep to the rate, stop when told, and do no harm by twos."""

from dataclasses import replace

import pytest

from eventfabric import limits
from eventfabric.errors import BackfillError, ThrottledError
from eventfabric.model import SequenceNumber
from eventfabric.model.backfill import BackfillState, LaneRange, Planned, SliceProgress
from eventfabric.sdk.backfill import run_backfill
from eventfabric.services.backfill.copy_slice import Ending
from eventfabric.services.backfill.lifecycle import Backfiller
from eventfabric.testing.memory.faults import Fault, SimulatedCrash, at_random, nth
from tests.support.backfill_regions import SOURCE, TARGET, BackfillRegions
from tests.support.memory_fabric import lane


def stored(fabric: BackfillRegions, backfill_id: str) -> list[SliceProgress]:
    return fabric.cloud.backfills(TARGET).slices(backfill_id, after=None, count=1000)[0]


def test_a_worker_goes_on_from_the_page_where_another_ended() -> None:
    fabric = BackfillRegions()
    fabric.fill(350)
    backfill = fabric.begin()
    (progress,) = fabric.slices(backfill)
    pages: list[int] = []
    first = fabric.backfiller().copier(
        backfill.id, stopped=lambda: len(pages) == 2, watch=lambda p: pages.append(1)
    )
    assert first.copy(progress).ending is Ending.STOPPED
    (left,) = fabric.slices(fabric.backfiller().find(backfill.id))
    assert (left.at.sequence, left.copied_records) == (20_000, 200)
    fabric.run(backfill)
    assert fabric.reading.count("log.read") == 1 + 2 + 2  # planning, the first worker, the second
    assert fabric.items(TARGET) == fabric.items(SOURCE)


def test_two_workers_on_one_slice_write_each_record_once() -> None:
    fabric = BackfillRegions()
    fabric.fill(300)
    backfill = fabric.begin()
    (progress,) = fabric.slices(backfill)
    ahead = fabric.backfiller().copier(backfill.id)
    turns = 0

    def overtake() -> bool:
        nonlocal turns
        turns += 1
        if turns == 50:
            assert ahead.copy(progress).ending is Ending.DONE
        return False

    behind = fabric.backfiller().copier(backfill.id, stopped=overtake)
    assert behind.copy(progress).ending is Ending.DONE
    assert fabric.items(TARGET) == fabric.items(SOURCE)
    # Refused once a page at most: then it looks at what else is there.
    assert fabric.faults.count("log.append") <= 300 + 3
    assert fabric.backfiller().finish(backfill.id).is_complete


def test_the_one_behind_does_not_take_back_what_the_other_noted() -> None:
    fabric = BackfillRegions()
    fabric.fill(300)
    backfill = fabric.begin()
    (progress,) = fabric.slices(backfill)
    fabric.backfiller().copier(backfill.id).copy(progress)
    pages: list[int] = []
    late = fabric.backfiller().copier(
        backfill.id, stopped=lambda: bool(pages), watch=lambda p: pages.append(1)
    )
    late.copy(progress)
    assert [progress.done for progress in stored(fabric, backfill.id)] == [True]


@pytest.mark.parametrize("workers", [1, 4])
def test_the_rate_is_kept_and_shared(workers: int) -> None:
    fabric = BackfillRegions()
    fabric.fill(100)
    backfill = fabric.begin(rate=1000.0, workers=workers)
    (progress,) = fabric.slices(backfill)
    started_ms = fabric.clock.now_ms()
    fabric.backfiller().copier(backfill.id).copy(progress)
    # The first record goes at once.
    assert fabric.clock.now_ms() - started_ms == pytest.approx(workers * (10_000 - 100), abs=20)


def test_a_clock_that_jumps_back_holds_nobody_up() -> None:
    fabric = BackfillRegions()
    fabric.fill(10)
    backfill = fabric.begin(rate=1000.0)
    (progress,) = fabric.slices(backfill)
    copier = fabric.backfiller().copier(backfill.id)
    copier.copy(
        replace(
            progress,
            slice=replace(progress.slice, end=replace(progress.at, sequence=SequenceNumber(100), chain=None)),
        )
    )
    fabric.clock.set_back(86_400)
    started_ms = fabric.clock.now_ms()
    (left,) = stored(fabric, backfill.id)
    copier.copy(replace(left, slice=progress.slice))
    assert fabric.clock.now_ms() - started_ms < 2_000


def test_the_rate_may_change_under_way() -> None:
    fabric = BackfillRegions()
    fabric.fill(200)
    backfill = fabric.begin(rate=100.0)
    (progress,) = fabric.slices(backfill)
    backfiller = fabric.backfiller()

    def faster(progress: SliceProgress) -> None:
        backfiller.resume(backfill.id, rate=1e6)

    started_ms = fabric.clock.now_ms()
    backfiller.copier(backfill.id, watch=faster).copy(progress)
    # One page at 100 events a second, the other at once.
    assert (fabric.clock.now_ms() - started_ms) / 1000 == pytest.approx(100, abs=2)


def test_a_cancelled_backfill_stops_within_a_page_and_can_be_resumed() -> None:
    fabric = BackfillRegions()
    fabric.fill(400)
    backfill = fabric.begin()
    backfiller = fabric.backfiller()

    def cancel(progress: SliceProgress) -> None:
        if progress.at.sequence == 20_000:
            backfiller.cancel(backfill.id)

    (progress,) = fabric.slices(backfill)
    copied = backfiller.copier(backfill.id, watch=cancel).copy(progress)
    assert (copied.ending, copied.progress.at.sequence) == (Ending.CANCELLED, 20_000)
    assert backfiller.hand_out(backfill.id) == backfiller.hand_out(backfill.id, "plan")
    assert backfiller.hand_out(backfill.id).slices == []
    assert backfiller.finish(backfill.id).backfill.state is BackfillState.CANCELLED
    assert backfiller.resume(backfill.id).state is BackfillState.RUNNING
    report = run_backfill(backfiller, backfill.id)
    assert report.backfill.state is BackfillState.DONE
    assert fabric.items(TARGET) == fabric.items(SOURCE)
    assert backfiller.cancel(backfill.id).state is BackfillState.DONE


def test_a_slow_page_is_left_when_it_is_cancelled_in_its_middle() -> None:
    fabric = BackfillRegions()
    fabric.fill(100)
    backfill = fabric.begin(rate=10.0)
    (progress,) = fabric.slices(backfill)
    turns = 0

    def cancel() -> bool:
        nonlocal turns
        turns += 1
        if turns == 30:
            fabric.backfiller().cancel(backfill.id)
        return False

    copied = fabric.backfiller().copier(backfill.id, stopped=cancel).copy(progress)
    assert copied.ending is Ending.CANCELLED
    assert copied.progress.copied_records < 10


def test_a_worker_whose_time_is_up_leaves_its_slice_where_it_is() -> None:
    fabric = BackfillRegions()
    fabric.fill(100)
    backfill = fabric.begin(rate=1000.0)
    (progress,) = fabric.slices(backfill)
    copied = fabric.backfiller().copier(backfill.id).copy(progress, deadline_ms=fabric.clock.now_ms() + 3_000)
    assert (copied.ending, copied.progress.copied_records) == (Ending.STOPPED, 30)
    assert stored(fabric, backfill.id) == [copied.progress]


def test_throttles_and_lost_replies_are_waited_out() -> None:
    fabric = BackfillRegions()
    fabric.fill(300)
    kinds = [Fault.THROTTLED, Fault.LOST_REPLY, Fault.LOST_REQUEST]
    backfill = fabric.begin()
    fabric.slices(backfill)
    fabric.faults.rules.append(
        at_random(0.3, kinds, seed=1, names=["log.append", "backfills.save", "log.tail"])
    )
    fabric.reading.rules.append(at_random(0.3, kinds, seed=2, names=["log.read"]))
    assert run_backfill(fabric.backfiller(), backfill.id).is_complete
    assert fabric.items(TARGET) == fabric.items(SOURCE)


def test_a_service_that_is_down_for_long_ends_the_run_and_it_goes_on_later() -> None:
    fabric = BackfillRegions()
    fabric.fill(300)
    backfill = fabric.begin()
    run = fabric.backfiller()
    fabric.faults.rules.append(
        lambda name, number, of_name: (
            Fault.THROTTLED if (name, of_name > 150) == ("log.append", True) else None
        )
    )
    started_ms = fabric.clock.now_ms()
    with pytest.raises(ThrottledError):
        run_backfill(run, backfill.id)
    waited = (fabric.clock.now_ms() - started_ms) / 1000
    assert limits.BACKFILL_PATIENCE_SECONDS <= waited < limits.BACKFILL_PATIENCE_SECONDS + 5
    assert fabric.backfiller().find(backfill.id).state is BackfillState.RUNNING
    fabric.faults.heal()
    assert run_backfill(fabric.backfiller(), backfill.id).is_complete


def test_slices_are_handed_out_in_pages_of_different_lanes_first() -> None:
    fabric = BackfillRegions()
    for number in range(3):
        fabric.fill(5, of=lane(number))
    backfill = fabric.begin(slice_events=100)
    backfiller, more, pages = fabric.backfiller(), None, []
    while True:
        handout = backfiller.hand_out(backfill.id, more, count=6)
        pages.append([(p.slice.lane.index, p.slice.start.sequence) for p in handout.slices])
        # The same question gets the same answer, for whoever did not hear it.
        assert backfiller.hand_out(backfill.id, more, count=6).slices == handout.slices
        more = handout.more
        if more is None:
            break
    places = [place for page in pages for place in page]
    assert sorted(places) == [(index, start) for index in range(3) for start in range(0, 500, 100)]
    assert (0, 400) in pages[1]
    assert pages[1][:2] == [(0, 0), (1, 0)]


def test_planning_stops_in_time_and_goes_on_in_the_middle_of_a_lane() -> None:
    fabric = BackfillRegions()
    made = fabric.fill(400)
    fabric.copy_to_target([record for number, record in enumerate(made) if number not in (120, 390)])
    backfill = fabric.begin()
    more: str | None = "plan"
    slices, asked = list[SliceProgress](), 0
    while more is not None:
        handout = fabric.backfiller().hand_out(backfill.id, more, deadline_ms=fabric.clock.now_ms())
        slices += handout.slices
        more, asked = handout.more, asked + 1
    assert [(p.slice.start.sequence, p.missing) for p in slices] == [(12_000, 100), (39_000, 100)]
    assert asked >= 4
    assert fabric.backfiller().find(backfill.id).is_planned


def test_a_plan_that_was_interrupted_goes_on_where_it_was() -> None:
    fabric = BackfillRegions()
    for number in range(4):
        fabric.fill(3, of=lane(number))
    backfill = fabric.begin()
    fabric.backfiller().hand_out(backfill.id, "plan", count=2)
    assert fabric.backfiller().find(backfill.id).planned == Planned(lane(1), SequenceNumber(300))
    fabric.reading.calls.clear()
    assert len(fabric.slices(backfill)) == 4
    # The other lanes only, those of the other origin too; and the lanes of declarations and schemas, once, after what
    # is declared of former Regions.
    assert fabric.reading.count("log.tail") <= 2 * 3 + 4 + 2 * 2 + 2
    assert run_backfill(fabric.backfiller(), backfill.id).is_complete


def test_a_backfill_from_another_account_goes_on_only_from_there() -> None:
    fabric, other = BackfillRegions(), BackfillRegions(seed=5)
    other.fill(5)
    theirs = other.log(SOURCE)
    joined = Backfiller(
        fabric.topology, fabric.ports(), source_log=lambda stream: theirs, elsewhere="profile archive"
    )
    backfill = joined.begin(fabric.wanted(source=TARGET))
    with pytest.raises(BackfillError, match="found none, allowed: profile archive"):
        fabric.backfiller().hand_out(backfill.id)
    assert run_backfill(joined, backfill.id).is_complete
    assert fabric.items(TARGET) == other.items(SOURCE)


def test_an_id_that_is_known_begins_nothing_twice() -> None:
    fabric = BackfillRegions()
    fabric.fill(1)
    backfiller = fabric.backfiller()
    first = backfiller.begin(fabric.wanted(), id="2026-a")
    assert backfiller.begin(fabric.wanted(rate=5.0), id="2026-a") == first
    assert [backfill.id for backfill in backfiller.all()] == ["2026-a"]


def test_many_workers_in_threads_copy_all_of_it() -> None:
    fabric = BackfillRegions()
    for number in range(4):
        fabric.fill(30, of=lane(number))
    backfill = fabric.begin(workers=4, slice_events=1000)
    counts: list[int] = []
    report = run_backfill(fabric.backfiller(), backfill.id, planned=lambda slices: counts.append(len(slices)))
    assert (report.is_complete, report.total.copied_records, counts[-1]) == (True, 120, 12)
    assert fabric.items(TARGET) == fabric.items(SOURCE)


def test_a_worker_that_fails_stops_the_others() -> None:
    fabric = BackfillRegions()
    for number in range(4):
        fabric.fill(3, of=lane(number))
    backfill = fabric.begin(workers=4)
    fabric.faults.rules.append(nth(3, Fault.CRASH_BEFORE, name="log.append"))
    with pytest.raises(SimulatedCrash):
        run_backfill(fabric.backfiller(), backfill.id)
    fabric.faults.heal()
    assert run_backfill(fabric.backfiller(), backfill.id).is_complete


def test_ranges_are_printed_as_they_are_read() -> None:
    for text in ("us-east-1/0.3", "us-east-1/0.3@5-10", "us-east-1/0.3@5-"):
        assert str(LaneRange.parse(text)) == text
    for text in ("0.3", "us-east-1/0.3@", "us-east-1/0.3@5", "us-east-1/0.3@-5", "us-east-1/0.3@a-b"):
        with pytest.raises(ValueError, match="allowed"):
            LaneRange.parse(text)
