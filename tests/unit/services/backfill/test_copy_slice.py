"""One worker of a backfill: how long it waits for a service, what it reads, and what it never writes."""

from collections.abc import Callable

import pytest

from eventfabric.errors import ThrottledError, UnknownNameError
from eventfabric.model.backfill import BackfillState
from eventfabric.model.identity import SequenceNumber
from eventfabric.model.slice import LaneRange, SliceProgress
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


def one_slice(world: BackfillRegions, **settings: object) -> tuple[str, SliceProgress]:
    backfill = world.begin(**settings)
    (progress,) = world.slices(backfill)
    return backfill.id, progress


class TestPatience:
    """A service asks for patience, or does not answer."""

    def test_each_wait_may_be_twice_the_one_before_up_to_a_second_and_a_new_call_begins_anew(self) -> None:
        world = BackfillRegions()
        world.fill(2)
        id, progress = one_slice(world)
        clock = Waits(world.clock.now_ms())
        world.faults.rules.append(fail("log.append", *range(1, 11), 12, 13))
        copied = world.backfiller(clock=clock).copier(id).copy(progress)
        assert copied.ending is Ending.DONE
        entropy = SeededEntropy(7)  # as the world's ports have
        most = [min(1.0, 0.005 * 2**tries) for tries in (*range(10), 0, 1)]
        assert clock.slept == pytest.approx([each * entropy.fraction() for each in most])

    def test_who_is_asked_to_stop_does_not_wait(self) -> None:
        world = BackfillRegions()
        world.fill(2)
        id, progress = one_slice(world)
        asked: list[str] = []

        def throttle(called: str, overall: int, of_name: int) -> Fault | None:
            if called != "log.append":
                return None
            asked.append(called)
            return Fault.THROTTLED

        world.faults.rules.append(throttle)
        started_ms = world.clock.now_ms()
        with pytest.raises(ThrottledError):
            world.backfiller().copier(id, stopped=lambda: bool(asked)).copy(progress)
        assert (asked, world.clock.now_ms()) == (["log.append"], started_ms)


class TestWhatIsRead:
    """A walk reads what its slice has, and nothing beside it."""

    def test_a_slice_of_which_the_target_has_nothing_is_not_read_though_the_next_one_is_there(self) -> None:
        world = BackfillRegions()
        made = world.fill(6)
        backfill = world.begin(slice_events=300)
        first, _ = world.slices(backfill)
        world.copy_to_target(made[3:])
        before = world.faults.count("log.read")
        assert world.backfiller().copier(backfill.id).copy(first).ending is Ending.DONE
        assert world.faults.count("log.read") == before
        assert world.items(TARGET) == world.items(SOURCE)

    def test_a_range_ends_where_it_ends_whatever_the_target_has_behind_it(self) -> None:
        world = BackfillRegions()
        made = world.fill(10)
        world.copy_to_target(made[3:])
        backfill = world.begin(LaneRange(lane(), SequenceNumber(150), SequenceNumber(450)))
        (progress,) = world.slices(backfill)
        bounds = progress.slice.start.sequence, progress.slice.end.sequence, progress.failure
        assert bounds == (200, 300, "")
        (copied,) = world.run(backfill)
        assert copied.ending is Ending.DONE
        assert [item["sk"]["N"] for item in world.items(TARGET)] == [str(n) for n in range(200, 1000, 100)]

    def test_what_others_wrote_meanwhile_is_looked_up_once_a_page(self) -> None:
        world = BackfillRegions()
        made = world.fill(50)
        id, progress = one_slice(world)
        turns: list[int] = []

        def overtake() -> bool:
            turns.append(1)
            if len(turns) == 5:
                world.copy_to_target(made[10:])
            return False

        before = world.faults.count("log.read")
        assert world.backfiller().copier(id, stopped=overtake).copy(progress).ending is Ending.DONE
        assert world.faults.count("log.read") - before == 1
        assert world.items(TARGET) == world.items(SOURCE)

    def test_what_expires_in_the_target_between_two_looks_is_copied_with_the_rest(self) -> None:
        world = BackfillRegions()
        made = world.fill(4)
        id, progress = one_slice(world)
        world.copy_to_target(made[1:2])

        def expire(called: str, overall: int, of_name: int) -> Fault | None:
            if called == "log.read":
                world.remove(made[1], region=TARGET)
            return None

        world.faults.rules.append(expire)
        assert world.backfiller().copier(id).copy(progress).ending is Ending.DONE
        assert world.items(TARGET) == world.items(SOURCE)


class TestWhatIsNotWritten:
    """A worker writes nothing that would have to be taken back."""

    def test_a_record_that_would_lie_across_the_targets_next_one(self) -> None:
        world, other = BackfillRegions(), BackfillRegions()
        world.fill(2, events=200)
        id, progress = one_slice(world)
        world.copy_to_target(other.fill(2, events=100)[1:])
        before = world.items(TARGET)
        copied = world.backfiller().copier(id).copy(progress)
        assert (copied.ending, copied.progress.copied_records) == (Ending.FAILED, 0)
        assert world.items(TARGET) == before

    def test_anything_of_a_backfill_that_nobody_knows(self) -> None:
        world = BackfillRegions()
        world.fill(3)
        _, progress = one_slice(world)
        copier = SliceCopier(
            "unknown",
            source=world.log(SOURCE),
            target=world.log(TARGET),
            backfills=world.cloud.backfills(TARGET),
            clock=world.clock,
            entropy=SeededEntropy(),
        )
        assert copier.copy(progress).ending is Ending.CANCELLED
        assert world.items(TARGET) == []


class TestWhereASliceIs:
    """Whoever is handed a slice by its place gets it as it stands by now."""

    def test_each_is_found_by_its_lane_and_where_it_starts(self) -> None:
        world = BackfillRegions()
        world.fill(4)
        world.fill(2, of=lane(1))
        backfill = world.begin(slice_events=200)
        every = world.slices(backfill)
        slices = [
            world.backfiller().slice(backfill.id, progress.slice.lane, progress.slice.start.sequence)
            for progress in every
        ]
        assert slices == every
        (last,) = [progress for progress in every if progress.slice.start.sequence == 200]
        copied = world.backfiller().copier(backfill.id).copy(last)
        assert world.backfiller().slice(backfill.id, lane(), SequenceNumber(200)) == copied.progress
        assert copied.progress.copied_records == 2

    @pytest.mark.parametrize(("index", "start"), [(0, 100), (1, 0)])
    def test_where_none_starts_there_is_none(self, index: int, start: int) -> None:
        world = BackfillRegions()
        world.fill(2)
        id, _ = one_slice(world)
        with pytest.raises(UnknownNameError, match=f"slice of backfill {id} is named '.*0.{index}@{start}'"):
            world.backfiller().slice(id, lane(index), SequenceNumber(start))

    def test_one_that_failed_is_tried_anew_and_its_failure_forgotten(self) -> None:
        world = BackfillRegions()
        made = world.fill(3)
        id, progress = one_slice(world)
        world.remove(made[1])
        failed = world.backfiller().copier(id).copy(progress)
        assert (failed.ending, failed.progress.at.sequence) == (Ending.FAILED, 100)
        world.overwrite(made[1], region=SOURCE)
        copied = world.backfiller().copier(id).copy(failed.progress)
        assert (copied.ending, copied.progress.failure) == (Ending.DONE, "")
        assert world.backfiller().finish(id).backfill.state is BackfillState.DONE
