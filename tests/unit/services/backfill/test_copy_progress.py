"""Progress that a worker reports of its slice, wherever it stops; and how often it reads or asks."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from eventfabric import limits
from eventfabric.model import Chain, Lane, Record, SequenceNumber
from eventfabric.model.backfill import Seam, SliceProgress
from eventfabric.ports import Page
from eventfabric.services.backfill.copy_slice import Copied, Ending, SliceCopier
from eventfabric.testing.memory.entropy import SeededEntropy
from eventfabric.testing.memory.faults import Fault, Rule
from tests.support.backfill_regions import SOURCE, TARGET, BackfillRegions
from tests.support.memory_fabric import lane
from tests.support.messages import TextWith
from tests.support.recorded_reads import Read, RecordingLog


class ShortPages(RecordingLog):
    """A log whose pages end early, as where records are large."""

    def read(
        self, lane: Lane, start: SequenceNumber, *, records_max: int, before: SequenceNumber | None = None
    ) -> Page:
        self.reads.append(Read(lane, start, records_max, before))
        return self._log.read(lane, start, records_max=3, before=before)


class Worker:
    """One worker of a backfill of one slice, whose logs remember what they were asked."""

    def __init__(self, fabric: BackfillRegions, *, short: bool = False, **settings: Any) -> None:
        self.fabric = fabric
        self.backfill = fabric.begin(**settings)
        (self.progress,) = fabric.slices(self.backfill)
        self.source = RecordingLog(fabric.log(SOURCE))
        self.target = (ShortPages if short else RecordingLog)(fabric.log(TARGET))

    def copy(self, *, stopped: Callable[[], bool] = lambda: False, deadline_ms: int | None = None) -> Copied:
        fabric = self.fabric
        copier = SliceCopier(
            self.backfill.id,
            source=self.source,
            target=fabric.faults.log(self.target),
            backfills=fabric.faults.backfills(fabric.cloud.backfills(TARGET)),
            clock=fabric.clock,
            entropy=SeededEntropy(7),
            stopped=stopped,
        )
        return copier.copy(self.progress, deadline_ms=deadline_ms)

    def stored(self) -> SliceProgress | None:
        backfills = self.fabric.cloud.backfills(TARGET)
        return backfills.slice(self.backfill.id, lane(), self.progress.slice.start.sequence)

    def left(self, position: Seam, records: int, *, failure: str = "") -> SliceProgress:
        """Return the progress of its slice so many records of a hundred events further on."""
        return replace(
            self.progress,
            at=position,
            copied_records=records,
            copied_events=100 * records,
            failure=failure,
        )


def at_append(number: int, then: Callable[[], object]) -> Rule:
    """Somebody is faster than the append of that number."""

    def rule(called: str, overall: int, of_name: int) -> Fault | None:
        if (called, of_name) == ("log.append", number):
            then()
        return None

    return rule


def filled(records: int = 5, events: int = 100) -> tuple[BackfillRegions, list[Record]]:
    fabric = BackfillRegions()
    return fabric, fabric.fill(records, events=events)


class TestDone:
    """All of it is there."""

    def test_what_was_copied_is_counted_and_noted(self) -> None:
        fabric, made = filled()
        worker = Worker(fabric)
        done = worker.left(Seam.of(made[4].tail), 5)
        assert worker.copy() == Copied(done, Ending.DONE)
        assert worker.stored() == done
        assert worker.source.reads == [Read(lane(), 0, 100, 500)]

    def test_what_is_there_already_is_verified_and_not_counted(self) -> None:
        fabric, made = filled()
        worker = Worker(fabric)
        fabric.copy_to_target(made)
        done = worker.left(Seam.of(made[4].tail), 0)
        assert worker.copy() == Copied(done, Ending.DONE)
        assert (worker.stored(), worker.source.reads) == (done, [])

    def test_what_others_wrote_is_compared_from_behind_the_record_that_stood_to_the_end_of_the_page(
        self,
    ) -> None:
        fabric, made = filled(records=150, events=1)
        worker = Worker(fabric)
        fabric.faults.rules.append(at_append(11, lambda: fabric.copy_to_target(made[10:])))
        assert worker.copy().ending is Ending.DONE
        assert worker.target.reads == [Read(lane(), 11, 100, 100), Read(lane(), 101, 100, 150)]
        assert fabric.faults.count("log.append") == 10 + 1 + 1

    def test_what_nobody_else_wrote_is_written_and_looked_for_no_longer(self) -> None:
        fabric, made = filled(records=80, events=1)
        worker = Worker(fabric)
        fabric.faults.rules.append(at_append(11, lambda: fabric.copy_to_target(made[10:20])))
        assert worker.copy().ending is Ending.DONE
        assert worker.target.reads == [Read(lane(), 11, 100, 80)]
        assert fabric.faults.count("log.append") == 10 + 1 + 60

    def test_short_pages_of_what_others_wrote_are_all_looked_at(self) -> None:
        fabric, made = filled(records=8)
        worker = Worker(fabric, short=True)
        fabric.faults.rules.append(at_append(2, lambda: fabric.copy_to_target(made[1:])))
        assert worker.copy().ending is Ending.DONE
        assert worker.target.reads == [Read(lane(), start, 100, 800) for start in (200, 500)]
        assert fabric.faults.count("log.append") == 2

    def test_the_expiry_of_what_others_wrote_may_differ(self) -> None:
        fabric = BackfillRegions(retention_days=1)
        made = fabric.fill(3)
        worker = Worker(fabric)
        without = replace(made[1], expires_at=None)
        fabric.faults.rules.append(at_append(2, lambda: fabric.copy_to_target([without])))
        assert worker.copy() == Copied(worker.left(Seam.of(made[2].tail), 3), Ending.DONE)


class TestFailed:
    """Source or target are not as they must be."""

    def expect(self, worker: Worker, seam: Seam, records: int, sequence: int, *facts: object) -> None:
        """Expect that the worker fails at a sequence, and names that and these facts."""
        failure = TextWith(f"record {sequence} of lane {lane()}", *facts)
        left = worker.left(seam, records, failure=failure)
        assert worker.copy() == Copied(left, Ending.FAILED)
        assert worker.stored() == left

    def test_a_source_that_has_nothing_more(self) -> None:
        fabric, made = filled()
        worker = Worker(fabric)
        for record in made[2:]:
            fabric.remove(record)
        self.expect(worker, Seam.of(made[1].tail), 2, 200, "source has nothing", "to 500")

    def test_a_source_that_lacks_one(self) -> None:
        fabric, made = filled()
        worker = Worker(fabric)
        fabric.remove(made[2])
        self.expect(worker, Seam.of(made[1].tail), 2, 200, "source has nothing", "to 300")

    def test_a_record_of_the_source_that_lies_across_the_targets_next_one(self) -> None:
        (fabric, _), (_, others) = filled(2, events=200), filled(2)
        worker = Worker(fabric)
        fabric.copy_to_target(others[1:])
        self.expect(worker, worker.progress.at, 0, 0, "source", "target's at 100")

    def test_a_record_of_the_source_that_does_not_follow_on_the_targets(self) -> None:
        fabric, made = filled()
        worker = Worker(fabric)
        fabric.overwrite(replace(made[1], payload=b"another"), region=SOURCE)
        self.expect(worker, Seam.of(made[0].tail), 1, 100, "source", "chain before it in the target")

    def test_another_record_that_somebody_wrote_meanwhile(self) -> None:
        fabric, made = filled()
        worker = Worker(fabric)
        another = replace(made[1], payload=b"another")
        fabric.faults.rules.append(at_append(2, lambda: fabric.copy_to_target([another])))
        self.expect(worker, Seam.of(made[0].tail), 1, 100, "source and target", "records here")

    def test_another_record_behind_one_that_somebody_wrote_meanwhile(self) -> None:
        fabric, made = filled()
        worker = Worker(fabric)
        another = replace(made[3], payload=b"another")
        fabric.faults.rules.append(at_append(2, lambda: fabric.copy_to_target([*made[1:3], another])))
        self.expect(worker, Seam.of(made[2].tail), 3, 300, "source and target", "records here")

    def test_an_end_that_is_not_the_one_that_was_planned(self) -> None:
        fabric, made = filled()
        worker = Worker(fabric)
        planned = replace(worker.progress.slice, end=Seam(SequenceNumber(500), Chain(b"x" * 16)))
        worker.progress = replace(worker.progress, slice=planned)
        self.expect(worker, Seam.of(made[4].tail), 5, 500, "source and target", "before it")

    def test_a_target_that_is_broken(self) -> None:
        fabric, made = filled()
        worker = Worker(fabric)
        fabric.copy_to_target([made[0], replace(made[1], payload=b"another")])
        self.expect(worker, Seam.of(made[0].tail), 0, 100, "does not extend the chain before it")


class TestTime:
    """The rate and deadline of a worker, and how often it asks if it is to go on."""

    @pytest.mark.parametrize(("left_ms", "records"), [(0, 0), (1, 1), (250, 3), (300, 3), (301, 4)])
    def test_at_its_deadline_it_stops_with_what_the_rate_allowed_until_then(
        self, left_ms: int, records: int
    ) -> None:
        fabric, made = filled()
        worker = Worker(fabric, rate=1000.0)
        seam = Seam.of(made[records - 1].tail) if records else worker.progress.at
        copied = worker.copy(deadline_ms=fabric.clock.now_ms() + left_ms)
        assert copied == Copied(worker.left(seam, records), Ending.STOPPED)

    def test_whether_it_is_to_go_on_is_asked_before_each_page_and_every_few_seconds(self) -> None:
        fabric, _ = filled(3)
        worker = Worker(fabric, rate=10.0)
        before = fabric.faults.count("backfills.find")
        started_ms = fabric.clock.now_ms()
        assert worker.copy().ending is Ending.DONE
        assert fabric.clock.now_ms() - started_ms == 20_000
        looks = 20 // limits.BACKFILL_LOOK_SECONDS
        # Before the walk, before the page, and while it waits for its turn.
        assert fabric.faults.count("backfills.find") - before == 2 + looks

    def test_without_a_rate_no_time_goes_by(self) -> None:
        fabric, _ = filled()
        started_ms = fabric.clock.now_ms()
        assert Worker(fabric).copy().ending is Ending.DONE
        assert fabric.clock.now_ms() == started_ms
