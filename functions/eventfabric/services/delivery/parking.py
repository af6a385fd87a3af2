"""Parking: the parked keys of one lane in one visit, as they are stored and as the next commit will leave them.

    look, get, alone      read keys that concern the visit, each at most once
    set, free, refresh    change one: nothing is written yet
    changes               what a commit writes of them, without events that its cursor has not passed
    committed             what was written is what is stored from now on

No other module changes a parked key in a visit. The lane is read without them (known_keys.py), and its cursor names
them in its roster.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from eventfabric import limits
from eventfabric.model import (
    Cursor,
    LaneKey,
    LaneState,
    Parked,
    ParkedChange,
    ParkedState,
    Region,
    SequenceNumber,
)
from eventfabric.ports import Clock, Ledger
from eventfabric.services.delivery.known_keys import KnownKeys
from eventfabric.telemetry import LogEvent, Metric, Telemetry
from eventfabric.wire.commit_size import CommitSize, size_of_key


class Parking:
    """The parked keys of a lane in one visit."""

    def __init__(
        self,
        key: LaneKey,
        state: LaneState,
        *,
        region: Region,
        ledger: Ledger,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._telemetry = telemetry
        self._lane = key.lane
        self._known = KnownKeys(key, state, region=region, ledger=ledger, clock=clock)
        cursor = state.cursor(region)
        self._roster = cursor.roster
        # Reads may show a transaction item by item, but only for as long as it takes.
        age_ms = clock.now_ms() - cursor.written_ms
        self._is_fresh = age_ms < 1000 * limits.TORN_READ_DOUBT_SECONDS
        self._written: set[str] = set()
        self._changed: set[str] = set()
        self._stale: frozenset[str] = frozenset()
        """Keys that are written though they seem unchanged. Either they hold the note of an attempt that is known to
        have ended, or they were only looked at, to tell that an event waits there.
        """
        self._size = CommitSize()

    @property
    def keys(self) -> list[Parked]:
        """The keys that were read, as they are by now."""
        return list(self._known.now.values())

    @property
    def is_empty(self) -> bool:
        """Tell if no key of the lane is parked."""
        # This is asked for every event, and most lanes have no parked keys.
        return not (self._known.now or self._roster.retrying or self._roster.dead) or self.count == 0

    @property
    def count(self) -> int:
        """Number of parked keys, read or not."""
        return self._known.count(self._roster)

    @property
    def retrying(self) -> int:
        """Number of keys that are tried again automatically, read or not."""
        return self._known.retrying(self._roster)

    @property
    def size(self) -> CommitSize:
        """Room that the next commit takes for the keys that it changes."""
        return self._size

    @property
    def has_stale(self) -> bool:
        """Tell if a key is to be written though it seems unchanged."""
        return bool(self._stale)

    def look(self, digests: Iterable[bytes]) -> None:
        """Read the keys that may have these digests, unless they were read before."""
        if self._roster.count:
            self._known.look(self._roster, digests)

    def look_due(self, until_ms: int) -> None:
        """Read the keys that are to be tried again by a time."""
        self._known.look(self._roster, self._roster.due(until_ms))

    def get(self, parking_id: str) -> Parked | None:
        """Return the key of an id as it is by now. It is read if it was not yet."""
        return self._known.get(self._roster, parking_id)

    def known(self, parking_id: str) -> Parked | None:
        """Return the key of an id, if it was read and is still parked."""
        return self._known.now.get(parking_id)

    def alone(self, key: str) -> list[Parked]:
        """Return a key's events that are parked by themselves, in order: from a time when no order was kept."""
        return self._known.alone(self._roster, key)

    def set(self, parked: Parked) -> None:
        """Change or add a key, with the next commit."""
        self._known.now[parked.id] = parked
        self._has_changed(parked)

    def free(self, parking_id: str) -> None:
        """Delete a key, with the next commit."""
        self._has_changed(self._known.now.pop(parking_id))

    def refresh(self, parked: Parked) -> None:
        """Write a key though it already says what it should: only the write shows if it was read too early.

        There is nothing to find out of a key that this visit wrote, or if the lane was last written longer ago than any
        transaction takes.
        """
        if self._is_fresh and parked.id not in self._written:
            self._stale |= {parked.id}
            self.set(parked)

    def forget_attempts(self) -> None:
        """Take back the notes of attempts, which are known to have ended."""
        for parked in list(self._known.stored.values()):
            if parked.attempting:
                self._known.now[parked.id] = self._known.stored[parked.id] = replace(parked, attempting=False)
                self._has_changed(parked)
        self._stale = frozenset(self._changed)

    def changes(self, end: SequenceNumber) -> list[ParkedChange]:
        """List what a commit of the cursor at `end` writes of the keys."""
        return [
            ParkedChange(before, after)
            for parking_id in sorted(self._changed)
            if (before := self._known.stored.get(parking_id)) != (after := self._passed(parking_id, end))
            or (parking_id in self._stale and (before or after))
        ]

    def beside(self, moved: Cursor, read: Cursor, changes: Sequence[ParkedChange]) -> Cursor:
        """Return the cursor as it stands beside the keys after these changes."""
        return self._known.beside(moved, read, changes)

    def committed(self, cursor: Cursor, changes: Sequence[ParkedChange]) -> None:
        """Take over what was committed with a cursor. Anything that it could not write yet stays a change."""
        self._stale = frozenset()
        self.take_over_cursor(cursor)
        for change in changes:
            self._take_over(change)
        known = self._known
        # Events that the cursor has not passed were held back from this commit.
        remaining = {
            parking_id
            for parking_id in self._changed
            if known.now.get(parking_id) != known.stored.get(parking_id)
        }
        self._changed, self._size = set(), CommitSize()
        for parking_id in remaining:
            self._has_changed(known.now.get(parking_id) or known.stored[parking_id])

    def take_over_cursor(self, cursor: Cursor) -> None:
        """Take over the cursor that stands beside the keys."""
        self._roster, self._known.version = cursor.roster, cursor.version

    def _passed(self, parking_id: str, end: SequenceNumber) -> Parked | None:
        """Return a key without the events that the cursor has not passed, which would otherwise be handled twice."""
        parked = self._known.now.get(parking_id)
        return None if parked is None else parked.before(end) or self._known.stored.get(parking_id)

    def _take_over(self, change: ParkedChange) -> None:
        """Take over a change that is committed, and report it."""
        before, after, telemetry = change.before, change.after, self._telemetry
        if after is None:
            del self._known.stored[before.id if before else ""]
            telemetry.add(Metric.KEYS_FREED)
            self._tell(LogEvent.KEY_FREED, before)
            return
        stored, now = replace(after, version=change.version), self._known.now
        self._written.add(stored.id)
        self._known.stored[stored.id] = stored
        now[stored.id] = replace(now[stored.id], version=stored.version)
        if before is None:
            telemetry.add(Metric.KEYS_PARKED)
            self._tell(LogEvent.KEY_PARKED, after)
        if after.state is ParkedState.DEAD and (before is None or before.state is not ParkedState.DEAD):
            telemetry.add(Metric.DEAD_LETTERS)
            self._tell(LogEvent.DEAD_LETTER, after)

    def _tell(self, event: LogEvent, parked: Parked | None) -> None:
        """Log what became of a key."""
        if parked is not None:
            self._telemetry.tell(
                event,
                lane=str(self._lane),
                sequence=parked.first.sequence,
                error_type=parked.failure.error_type,
                attempts=parked.failure.attempts,
                crashes=parked.failure.crashes,
            )

    def _has_changed(self, parked: Parked) -> None:
        if parked.id not in self._changed:
            self._changed.add(parked.id)
            self._size += size_of_key(parked)
