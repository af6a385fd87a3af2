"""Owns a lane's state in one visit: its cursor, its parked keys, what changes of them, and the commits of that."""

from collections.abc import Sequence as Seq
from dataclasses import replace
from math import ceil

from eventfabric import limits
from eventfabric.model.commit import Committed, Decided, RaceLost, SameItemTwice, Write, WriteRefused
from eventfabric.model.cursor import Cursor, LaneKey, LaneState
from eventfabric.model.identity import Sequence
from eventfabric.model.parked import Parked, ParkedChange, ParkedState
from eventfabric.model.record import Record
from eventfabric.services.delivery.context import VisitContext
from eventfabric.services.delivery.endings import Ended, only_race, refusal
from eventfabric.services.delivery.known_keys import KnownKeys
from eventfabric.services.delivery.notes import settle_notes
from eventfabric.services.delivery.patiently import commit_patiently, ring_later_patiently
from eventfabric.services.delivery.retry import Failed
from eventfabric.telemetry import LogEvent, Metric
from eventfabric.wire.doorbell import Doorbell
from eventfabric.wire.ledger_commit import CommitSize, size_of_key


class VisitedLane:
    """A lane's state. `cursor` and the parked keys are as they were read, or as the last commit left them."""

    def __init__(self, context: VisitContext, key: LaneKey, state: LaneState, *, deadline_ms: int) -> None:
        self._in = context
        self.key = key
        self.deadline_ms = deadline_ms
        self.cursor = state.cursor(context.region)
        self.stepped_over = set(state.won_by(context.decides_alone))
        self._keys = KnownKeys(context, key, state)
        self._stored, self._parked = self._keys.stored, self._keys.now
        age_ms = context.clock.now_ms() - self.cursor.written_ms
        self._is_fresh = age_ms < 1000 * limits.TORN_READ_DOUBT_SECONDS
        self._written: set[str] = set()
        self._changed: set[str] = set()
        self._changes_size = CommitSize()
        self._stale: frozenset[str] = frozenset()
        """Keys that are written though they seem unchanged: with the note of an attempt that is known to have ended, or
        looked at only to tell that an event waits there.
        """

    def commit(
        self, moved: Cursor, writes: Seq[Write] = (), *, decided: Seq[Decided] = ()
    ) -> RaceLost | WriteRefused | SameItemTwice | None:
        """Commit the cursor, the parked keys that changed and the writes; None where that is done."""
        changes = [
            ParkedChange(before, after)
            for parking_id in sorted(self._changed)
            if (before := self._stored.get(parking_id)) != (after := self._passed(parking_id, moved.sequence))
            or (parking_id in self._stale and (before or after))
        ]
        moved = replace(moved, version=self.cursor.version, epoch=self.cursor.epoch)
        moved = self._keys.beside(moved, self.cursor, changes)
        if moved == self.cursor and not changes and not writes and not decided:
            return None
        self._ring_timers(changes)
        outcome = commit_patiently(
            self._in, self.key, self.cursor, moved, parked=changes, writes=writes, decided=decided,
            deadline_ms=self.deadline_ms,
        )  # fmt: skip
        if isinstance(outcome, WriteRefused) and outcome.index < 0 and (lost := self._check_own_table()):
            return lost
        if not isinstance(outcome, Committed):
            return outcome
        self.cursor, self._stale = outcome.cursor, frozenset()
        self._keys.version = outcome.cursor.version
        for change in changes:
            self._stands(change)
        left = {each for each in self._changed if self._parked.get(each) != self._stored.get(each)}
        self._changed, self._changes_size = set(), CommitSize()
        for parking_id in left:
            self._has_changed(self._parked.get(parking_id) or self._stored[parking_id])
        return None

    def settle(self, noted: Seq[Record]) -> RaceLost | None:
        """Decide about noted batches, and commit that before any of their events is handed out; the cursor stays."""
        decided, elsewhere = settle_notes(self._in, self.key, noted)
        outcome = self.commit(self.cursor, decided=decided) if decided else None
        if outcome is not None:
            return only_race(outcome)
        self.stepped_over |= elsewhere
        if decided:
            self._in.telemetry.add(Metric.COPIES_SETTLED, len(decided))
        return None

    def _commit_here(self) -> Ended | None:
        """Commit parked keys; the cursor stays."""
        return self._move(self.cursor)

    def _move(self, moved: Cursor) -> Ended | None:
        outcome = self.commit(moved)
        return None if outcome is None else only_race(outcome)

    def _commit_refused(self, writes: Seq[Write]) -> Failed | RaceLost | None:
        outcome = self.commit(self.cursor, writes)
        if outcome is None or isinstance(outcome, RaceLost):
            return outcome
        return refusal(outcome)

    def _check_own_table(self) -> RaceLost | None:
        """Find out by a commit of nothing whether it is the ledger that refuses: then that is raised.

        A refusal of a whole transaction names no write: what is denied or missing may be the fabric's own.
        """
        outcome = self._in.ledger.commit(self.key, self.cursor, self.cursor)
        if not isinstance(outcome, Committed):
            return only_race(outcome)
        self.cursor = outcome.cursor
        self._keys.version = outcome.cursor.version
        return None

    def _passed(self, parking_id: str, end: Sequence) -> Parked | None:
        """The parked key with none of its events that the cursor has not passed: those would be handled twice."""
        parked = self._parked.get(parking_id)
        return None if parked is None else parked.before(end) or self._stored.get(parking_id)

    def _stands(self, change: ParkedChange) -> None:
        """Take over a change that is committed."""
        before, after, telemetry = change.before, change.after, self._in.telemetry
        if after is None:
            del self._stored[before.id if before else ""]
            telemetry.add(Metric.KEYS_FREED)
            self._tell(LogEvent.KEY_FREED, before)
            return
        stored = replace(after, version=change.version)
        self._written.add(stored.id)
        self._stored[stored.id] = stored
        self._parked[stored.id] = replace(self._parked[stored.id], version=stored.version)
        if before is None:
            telemetry.add(Metric.KEYS_PARKED)
            self._tell(LogEvent.KEY_PARKED, after)
        if after.state is ParkedState.DEAD and (before is None or before.state is not ParkedState.DEAD):
            telemetry.add(Metric.DEAD_LETTERS)
            self._tell(LogEvent.DEAD_LETTER, after)

    def _tell(self, event: LogEvent, parked: Parked | None) -> None:
        if parked is not None:
            self._in.telemetry.tell(
                event,
                lane=str(self.key.lane),
                sequence=parked.first.sequence,
                error_type=parked.failure.error_type,
                attempts=parked.failure.attempts,
                crashes=parked.failure.crashes,
            )

    def _ring_timers(self, changes: Seq[ParkedChange]) -> None:
        """Have the lane rung when a key is due. Before the commit: a timer too many is harmless, one too few is not."""
        for change in changes:
            after = change.after
            if after is None or after.state is not ParkedState.RETRYING or after.attempting:
                continue
            if change.before is not None and change.before.due_ms == after.due_ms:
                continue
            bell = Doorbell(self.key.stream, self.key.lane, Sequence(0), again=after.due_ms)
            delay_seconds = max(0, ceil((after.due_ms - self._in.clock.now_ms()) / 1000))
            ring_later_patiently(self._in, bell, delay_seconds, deadline_ms=self.deadline_ms)

    def _set(self, parked: Parked) -> None:
        self._parked[parked.id] = parked
        self._has_changed(parked)

    def _free(self, parking_id: str) -> None:
        self._has_changed(self._parked.pop(parking_id))

    def _has_changed(self, parked: Parked) -> None:
        if parked.id not in self._changed:
            self._changed.add(parked.id)
            self._changes_size += size_of_key(parked)

    def _may_be_older(self, parking_id: str) -> bool:
        """Tell whether a key may have been read as it was before the transaction that wrote the cursor."""
        return self._is_fresh and parking_id not in self._written

    def _key_of(self, parking_id: str) -> Parked | None:
        return self._keys.get(self.cursor.roster, parking_id)

    @property
    def has_parked(self) -> bool:
        """Whether any key of the lane is parked."""
        roster = self.cursor.roster
        # Asked for every event: most lanes have none.
        return bool(self._parked or roster.retrying or roster.dead) and self._keys.count(roster) > 0

    @property
    def changes_size(self) -> CommitSize:
        """What the parked keys take that the next commit changes."""
        return self._changes_size
