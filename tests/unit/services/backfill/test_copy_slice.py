"""One worker of a backfill: how long it waits for a service, what it reads, and what it never writes."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from eventfabric.errors import ThrottledError, UnknownNameError
from eventfabric.model import SequenceNumber
from eventfabric.model.backfill import BackfillState, LaneRange, SliceProgress
from eventfabric.services.backfill.copy_slice import Ending, SliceCopier
from eventfabric.testing.memory.clock import MemoryClock
from eventfabric.testing.memory.entropy import SeededEntropy
from eventfabric.testing.memory.faults import Fault
from tests.support.backfill_regions import SOURCE, TARGET, BackfillRegions
from tests.support.memory_fabric import lane


class Waits(MemoryClock):
    """A clock that remembers how long was slept by it."""

    def __init__(self, start_ms: int) -> None:
        super().__init__(start_ms)
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        super().sleep(seconds)


def fail(name: str, *numbers: int) -> Callable[[str, int, int], Fault | None]:
    """Throttle the calls of a name with these numbers, from 1."""
    return lambda called, overall, of_name: Fault.THROTTLED if called == name and of_name in numbers else None


def one_slice(fabric: BackfillRegions, **settings: object) -> tuple[str, SliceProgress]:
    backfill = fabric.begin(**settings)
    (progress,) = fabric.slices(backfill)
    return backfill.id, progress


class TestPatience:
    """A service asks for patience, or does not answer."""

    def test_each_wait_may_be_twice_the_one_before_up_to_a_second_and_a_new_call_begins_anew(self) -> None:
        fabric = BackfillRegions()
        fabric.fill(2)
        id, progress = one_slice(fabric)
        clock = Waits(fabric.clock.now_ms())
        fabric.faults.rules.append(fail("log.append", *range(1, 11), 12, 13))
        copied = fabric.backfiller(clock=clock).copier(id).copy(progress)
        assert copied.ending is Ending.DONE
        entropy = SeededEntropy(7)  # as the fabric's ports have
        most = [min(1.0, 0.005 * 2**tries) for tries in (*range(10), 0, 1)]
        assert clock.slept == pytest.approx([wait_seconds * entropy.fraction() for wait_seconds in most])

    def test_who_is_asked_to_stop_does_not_wait(self) -> None:
        fabric = BackfillRegions()
        fabric.fill(2)
        id, progress = one_slice(fabric)
        asked: list[str] = []

        def throttle(called: str, overall: int, of_name: int) -> Fault | None:
            if called != "log.append":
                return None
            asked.append(called)
            return Fault.THROTTLED

        fabric.faults.rules.append(throttle)
        started_ms = fabric.clock.now_ms()
        with pytest.raises(ThrottledError):
            fabric.backfiller().copier(id, stopped=lambda: bool(asked)).copy(progress)
        assert (asked, fabric.clock.now_ms()) == (["log.append"], started_ms)


class TestWhatIsRead:
    """A walk reads what its slice has, and nothing beside it."""

    def test_a_slice_of_which_the_target_has_nothing_is_not_read_though_the_next_one_is_there(self) -> None:
        fabric = BackfillRegions()
        made = fabric.fill(6)
        backfill = fabric.begin(slice_events=300)
        first, _ = fabric.slices(backfill)
        fabric.copy_to_target(made[3:])
        before = fabric.faults.count("log.read")
        assert fabric.backfiller().copier(backfill.id).copy(first).ending is Ending.DONE
        assert fabric.faults.count("log.read") == before
        assert fabric.items(TARGET) == fabric.items(SOURCE)

    def test_a_range_ends_where_it_ends_whatever_the_target_has_behind_it(self) -> None:
        fabric = BackfillRegions()
        made = fabric.fill(10)
        fabric.copy_to_target(made[3:])
        backfill = fabric.begin(LaneRange(lane(), SequenceNumber(150), SequenceNumber(450)))
        (progress,) = fabric.slices(backfill)
        bounds = progress.slice.start.sequence, progress.slice.end.sequence, progress.failure
        assert bounds == (200, 300, "")
        (copied,) = fabric.run(backfill)
        assert copied.ending is Ending.DONE
        assert [item["sk"]["N"] for item in fabric.items(TARGET)] == [str(n) for n in range(200, 1000, 100)]

    def test_what_others_wrote_meanwhile_is_looked_up_once_a_page(self) -> None:
        fabric = BackfillRegions()
        made = fabric.fill(50)
        id, progress = one_slice(fabric)
        turns: list[int] = []

        def overtake() -> bool:
            turns.append(1)
            if len(turns) == 5:
                fabric.copy_to_target(made[10:])
            return False

        before = fabric.faults.count("log.read")
        assert fabric.backfiller().copier(id, stopped=overtake).copy(progress).ending is Ending.DONE
        assert fabric.faults.count("log.read") - before == 1
        assert fabric.items(TARGET) == fabric.items(SOURCE)

    def test_what_expires_in_the_target_between_two_looks_is_copied_with_the_rest(self) -> None:
        fabric = BackfillRegions()
        made = fabric.fill(4)
        id, progress = one_slice(fabric)
        fabric.copy_to_target(made[1:2])

        def expire(called: str, overall: int, of_name: int) -> Fault | None:
            if called == "log.read":
                fabric.remove(made[1], region=TARGET)
            return None

        fabric.faults.rules.append(expire)
        assert fabric.backfiller().copier(id).copy(progress).ending is Ending.DONE
        assert fabric.items(TARGET) == fabric.items(SOURCE)


class TestWhatIsNotWritten:
    """A worker writes nothing that would have to be taken back."""

    def test_a_record_that_would_lie_across_the_targets_next_one(self) -> None:
        fabric, other = BackfillRegions(), BackfillRegions()
        fabric.fill(2, events=200)
        id, progress = one_slice(fabric)
        fabric.copy_to_target(other.fill(2, events=100)[1:])
        before = fabric.items(TARGET)
        copied = fabric.backfiller().copier(id).copy(progress)
        assert (copied.ending, copied.progress.copied_records) == (Ending.FAILED, 0)
        assert fabric.items(TARGET) == before

    def test_anything_of_a_backfill_that_nobody_knows(self) -> None:
        fabric = BackfillRegions()
        fabric.fill(3)
        _, progress = one_slice(fabric)
        copier = SliceCopier(
            "unknown",
            source=fabric.log(SOURCE),
            target=fabric.log(TARGET),
            backfills=fabric.cloud.backfills(TARGET),
            clock=fabric.clock,
            entropy=SeededEntropy(),
        )
        assert copier.copy(progress).ending is Ending.CANCELLED
        assert fabric.items(TARGET) == []


class TestWhereASliceIs:
    """Whoever is handed a slice by its place gets it as it stands by now."""

    def test_each_is_found_by_its_lane_and_where_it_starts(self) -> None:
        fabric = BackfillRegions()
        fabric.fill(4)
        fabric.fill(2, of=lane(1))
        backfill = fabric.begin(slice_events=200)
        every = fabric.slices(backfill)
        slices = [
            fabric.backfiller().slice(backfill.id, progress.slice.lane, progress.slice.start.sequence)
            for progress in every
        ]
        assert slices == every
        (last,) = [progress for progress in every if progress.slice.start.sequence == 200]
        copied = fabric.backfiller().copier(backfill.id).copy(last)
        assert fabric.backfiller().slice(backfill.id, lane(), SequenceNumber(200)) == copied.progress
        assert copied.progress.copied_records == 2

    @pytest.mark.parametrize(("index", "start"), [(0, 100), (1, 0)])
    def test_where_none_starts_there_is_none(self, index: int, start: int) -> None:
        fabric = BackfillRegions()
        fabric.fill(2)
        id, _ = one_slice(fabric)
        with pytest.raises(UnknownNameError, match=f"slice of backfill {id} is named '.*0.{index}@{start}'"):
            fabric.backfiller().slice(id, lane(index), SequenceNumber(start))

    def test_one_that_failed_is_tried_anew_and_its_failure_forgotten(self) -> None:
        fabric = BackfillRegions()
        made = fabric.fill(3)
        id, progress = one_slice(fabric)
        fabric.remove(made[1])
        failed = fabric.backfiller().copier(id).copy(progress)
        assert (failed.ending, failed.progress.at.sequence) == (Ending.FAILED, 100)
        fabric.overwrite(made[1], region=SOURCE)
        copied = fabric.backfiller().copier(id).copy(failed.progress)
        assert (copied.ending, copied.progress.failure) == (Ending.DONE, "")
        assert fabric.backfiller().finish(id).backfill.state is BackfillState.DONE


def test_a_copy_has_what_only_a_later_version_knows_of_a_record() -> None:
    fabric = BackfillRegions()
    for record in fabric.fill(3):
        fabric.overwrite(replace(record, unknown={"zz": {"S": "later"}}), region=SOURCE)
    id, progress = one_slice(fabric)
    assert fabric.backfiller().copier(id).copy(progress).ending is Ending.DONE
    assert fabric.items(TARGET) == fabric.items(SOURCE)
    assert all(item["zz"] == {"S": "later"} for item in fabric.items(TARGET))
