"""Copy: one worker of a backfill, slice by slice; it is the same on a laptop and in Lambda.

    walk the target ── up to the end ──────────────────────────> the seam at the end is the planned one: done
        │  gap
        v
    read the source ── it has no such record ──────────────────> failed, the slice says why
        │           ── does not extend the chain ──────────────> failed
        v
    put the very same record where nobody wrote ── written ────┐
                                                ── the same ───┤ on to the next
                                                ── another ────┼─> failed, nothing is overwritten
    after each page: note how far it is, and whether to go on ─┘

A worker that repeats something, runs twice at once, or dies in the middle can only put again what is already there.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from typing import TypeVar

from eventfabric import limits
from eventfabric.errors import (
    DivergenceError,
    LogError,
    MissingRecordError,
    OutcomeUnknownError,
    ThrottledError,
)
from eventfabric.model import Record, SequenceNumber
from eventfabric.model.backfill import BackfillState, Seam, SliceProgress
from eventfabric.ports import Clock, Entropy, Log
from eventfabric.rare_ports import Backfills
from eventfabric.services.backfill.walk import Walk

T = TypeVar("T")


class Ending(Enum):
    """The way in which a worker left a slice."""

    DONE = "done"
    STOPPED = "stopped"
    """Its time was up, or it was asked to stop. It can go on from where it is."""
    CANCELLED = "cancelled"
    FAILED = "failed"
    """Source or target are not as they must be. The slice says how."""


@dataclass(frozen=True, slots=True)
class Copied:
    """The progress of a slice, and why its worker left it."""

    progress: SliceProgress
    ending: Ending


class SliceCopier:
    """One worker of one backfill. It keeps to its share of the backfill's rate from slice to slice."""

    def __init__(
        self,
        backfill_id: str,
        *,
        source: Log,
        target: Log,
        backfills: Backfills,
        clock: Clock,
        entropy: Entropy,
        stopped: Callable[[], bool] = lambda: False,
        watch: Callable[[SliceProgress], None] = lambda progress: None,
    ) -> None:
        """`stopped`: asked between records, in this thread. `watch`: told of the slice's progress after each page."""
        self._id = backfill_id
        self._source = source
        self._target = target
        self._backfills = backfills
        self._clock = clock
        self._entropy = entropy
        self._stopped = stopped
        self._watch = watch
        self._rate: float | None = None
        self._looked_ms: int | None = None
        self._is_cancelled = False
        self._due_ms = 0.0

    def copy(self, progress: SliceProgress, *, deadline_ms: int | None = None) -> Copied:
        """Copy a slice from where it is, until it is done, or there is a reason to stop.

        OutcomeUnknownError, ThrottledError: a service did not answer for long; the slice can go on from where it is.
        """
        self._progress = progress = replace(progress, failure="")
        walk = Walk(self._target, progress.slice.lane, progress.at, progress.slice.end.sequence)
        gap_end: SequenceNumber | None = None
        while not self._progress.done:
            # Makes the worker look at the backfill before each page, so that cancelling it works within one.
            self._looked_ms = None
            if ending := self._must_stop(deadline_ms):
                return Copied(self._progress, ending)
            before = self._progress
            try:
                if gap_end is None:
                    gap_end = self._insist(walk.step)
                    self._reached(walk.position)
                else:
                    self._fill(walk, gap_end, deadline_ms)
                    gap_end = gap_end if walk.position.sequence < gap_end else None
                _check_end(self._progress)
            except LogError as error:
                self._progress = replace(self._progress, at=walk.position, failure=str(error))
            # One note a page, not one a record: a page that is copied again finds its records there already.
            if self._progress != before:
                self._save(self._progress)
            if self._progress.failure:
                return Copied(self._progress, Ending.FAILED)
        return Copied(self._progress, Ending.DONE)

    def _reached(self, position: Seam, copied: Record | None = None) -> None:
        """Note in the progress how far the slice is."""
        done = self._progress
        self._progress = replace(
            done,
            at=position,
            copied_records=done.copied_records + (copied is not None),
            copied_events=done.copied_events + (copied.count if copied else 0),
        )

    def _fill(self, walk: Walk, gap_end: SequenceNumber, deadline_ms: int | None) -> None:
        """Copy one page of what the gap lacks. LogError if the source's records are not those that must be there."""
        lane, start = self._progress.slice.lane, walk.position
        page = self._insist(
            lambda: self._source.read(
                lane, start.sequence, records_max=limits.PAGE_RECORDS_MAX, before=gap_end
            )
        )
        there: dict[SequenceNumber, Record] | None = None
        if not page.records:
            raise MissingRecordError(lane, start.sequence, f"the source has nothing from here to {gap_end}")
        for record in page.records:
            _check(record, walk.position, gap_end)
            if not self._await_turn(record.count, deadline_ms):
                return
            # One conditional put each: a batch write has no conditions, and would overwrite a divergent
            # record.
            standing = there.get(record.sequence) if there else None
            standing = standing or self._put(record)
            if standing is not None:
                _compare(record, standing)
                # Another worker copies here too: see what is there, instead of being refused for each record.
                there = self._there(record, page.records[-1].tail.sequence) if there is None else there
            walk.position = Seam.of(record.tail)
            self._reached(walk.position, record)

    def _put(self, record: Record) -> Record | None:
        """Put a record in the target. Return the one that stands there already, if one does."""
        return self._insist(lambda: self._target.append(record))

    def _there(self, behind: Record, end: SequenceNumber) -> dict[SequenceNumber, Record]:
        """Return what the target has after a record, up to `end`."""
        held: dict[SequenceNumber, Record] = {}
        start = behind.tail.sequence
        while start < end:
            page = self._insist(
                partial(
                    self._target.read, behind.lane, start, records_max=limits.PAGE_RECORDS_MAX, before=end
                )
            )
            held |= {record.sequence: record for record in page.records}
            if not page.more or not page.records:
                break
            start = page.records[-1].tail.sequence
        return held

    def _save(self, progress: SliceProgress) -> None:
        """Store the progress of a slice."""
        self._insist(lambda: self._backfills.save(self._id, progress))
        self._watch(progress)

    def _must_stop(self, deadline_ms: int | None) -> Ending | None:
        """Return why to stop now, if there is a reason."""
        steady_ms, looked_ms = self._clock.steady_ms(), self._looked_ms
        # By time as well as before each page: at a low rate one page takes minutes.
        if looked_ms is None or steady_ms - looked_ms >= limits.BACKFILL_LOOK_SECONDS * 1000:
            self._look()
        if self._is_cancelled:
            return Ending.CANCELLED
        is_late = deadline_ms is not None and self._clock.now_ms() >= deadline_ms
        return Ending.STOPPED if is_late or self._stopped() else None

    def _look(self) -> None:
        """Find out if the backfill still runs, and how fast it may be. Operators may change both meanwhile."""
        backfill = self._insist(lambda: self._backfills.find(self._id))
        self._is_cancelled = backfill is None or backfill.state is not BackfillState.RUNNING
        self._rate = backfill.worker_rate if backfill else None
        self._looked_ms = self._clock.steady_ms()

    def _await_turn(self, events: int, deadline_ms: int | None) -> bool:
        """Wait until the rate allows so many events more. Return False if there is a reason to stop first."""
        wait_ms = self._due_ms - self._clock.steady_ms()
        while not self._must_stop(deadline_ms):
            if self._rate is None or wait_ms <= 0:
                share_ms = 1000 * events / self._rate if self._rate else 0.0
                # What a slow service left unused is not made up for: a burst would exceed the rate.
                self._due_ms = max(self._due_ms, self._clock.steady_ms()) + share_ms
                return True
            # In short steps, so that a changed rate or a cancellation is noticed soon.
            step_ms = min(wait_ms, 1000.0)
            self._clock.sleep(step_ms / 1000)
            wait_ms -= step_ms
        return False

    def _insist(self, call: Callable[[], T]) -> T:
        """Make a call, and make it again with back-off and jitter while a service throttles or gives no answer."""
        started_ms, tries = self._clock.steady_ms(), 0
        while True:
            try:
                return call()
            except (OutcomeUnknownError, ThrottledError):
                if self._clock.steady_ms() - started_ms >= limits.BACKFILL_PATIENCE_SECONDS * 1000:
                    raise
                # Nothing is lost by that: the slice goes on from its last
                # note, in whatever process comes next.
                if self._stopped():
                    raise
            most = min(limits.APPEND_BACKOFF_MAX_SECONDS, limits.APPEND_BACKOFF_SECONDS * 2 ** min(tries, 16))
            self._clock.sleep(most * self._entropy.fraction())
            tries += 1


def _check(record: Record, position: Seam, gap_end: SequenceNumber) -> None:
    """Raise an error if the source's record does not continue the target at a seam, or does not fit into the gap."""
    if record.sequence > position.sequence:
        raise MissingRecordError(
            record.lane, position.sequence, f"the source has nothing from here to {record.sequence}"
        )
    if record.tail.sequence > gap_end:
        raise DivergenceError(
            record.lane, record.sequence, f"the source's lies across the target's at {gap_end}"
        )
    if position.chain is not None and not record.extends(position.chain):
        raise DivergenceError(
            record.lane, record.sequence, "the source's does not extend the chain before it in the target"
        )


def _compare(record: Record, standing: Record) -> None:
    """Raise DivergenceError if the target holds another record. The expiry may differ: no chain covers it."""
    if standing != record and replace(standing, expires_at=record.expires_at) != record:
        raise DivergenceError(record.lane, record.sequence, "source and target have other records here")


def _check_end(progress: SliceProgress) -> None:
    """Raise DivergenceError if the slice does not end in the seam that the source had when it was planned."""
    position, end = progress.at, progress.slice.end
    if position.sequence >= end.sequence and not position.agrees(end):
        raise DivergenceError(
            progress.slice.lane,
            end.sequence,
            "source and target have other records before it, by their chains",
        )
