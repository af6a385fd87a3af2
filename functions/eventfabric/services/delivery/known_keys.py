"""Known keys: the parked keys of a lane that a visit has read, and the reading of those that concern it.

A lane is read without its parked keys, so that it costs the same however many dead letters lie in it. Its roster says
which keys are due, and which events may belong to a parked key; only these keys are read. If the lane has changed since
it was read, a commit based on such keys loses its race for the cursor, like any other.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from eventfabric import limits
from eventfabric.errors import ThrottledError
from eventfabric.model import (
    Cursor,
    LaneKey,
    LaneState,
    Parked,
    ParkedChange,
    ParkedState,
    Region,
    Roster,
    after_changes,
    digest_of_id,
    is_alone,
)
from eventfabric.ports import Clock, Ledger
from eventfabric.services.lanes.whole_state import whole_state


class KnownKeys:
    """The parked keys that one visit knows. `stored`: as they are stored; `now`: as the next commit will leave them."""

    def __init__(
        self, key: LaneKey, state: LaneState, *, region: Region, ledger: Ledger, clock: Clock
    ) -> None:
        self._region = region
        self._ledger = ledger
        self._clock = clock
        self._key = key
        self._is_whole = state.is_whole
        self.stored: dict[str, Parked] = dict(state.parked.get(region, {}))
        self.now: dict[str, Parked] = dict(self.stored)
        self._looked: set[bytes] = set()
        self.version = state.cursor(region).version
        """Version of the lane's cursor, as it was read or as the last commit left it."""
        self._alone: defaultdict[str, list[str]] | None = None

    def look(self, roster: Roster, digests: Iterable[bytes]) -> list[Parked]:
        """Read the keys that may be parked under these digests, unless they were read before. Return the new ones."""
        if self._is_whole or not roster.count:
            return []
        sought = [digest for digest in roster.held(digests) if digest not in self._looked]
        if not sought:
            return []
        # Noted before the read, so that a key which is not there is looked for only once.
        self._looked.update(sought)
        parked_keys = self._read_sought(sought)
        self._keep(parked_keys)
        return parked_keys

    def _read_sought(self, sought: list[bytes]) -> list[Parked]:
        """Read keys, and read again for a moment those that are named and not found.

        A read may show a transaction's cursor before its keys. If a key stays away and nobody moves the cursor, there
        is no such key: its digest only begins like that of a dead one. ThrottledError if the cursor was moved: that
        freed the key, and its later events must not be handed out before this run has lost its race, or they would come
        out of order.
        """
        parked_keys = self._ledger.look_up(self._key, sought)
        missing = _missing(sought, parked_keys)
        for pause_seconds in limits.TORN_READ_PAUSES_SECONDS:
            if not missing:
                return parked_keys
            self._check_unmoved()
            self._clock.sleep(pause_seconds)
            parked_keys += self._ledger.look_up(self._key, missing)
            missing = _missing(sought, parked_keys)
        if missing:
            self._check_unmoved()  # until now, reads may have shown an older cursor, too
        return parked_keys

    def _check_unmoved(self) -> None:
        """Raise ThrottledError if the lane's cursor was moved since this visit read it."""
        cursor = self._ledger.state(self._key, glance=True).cursor(self._region)
        if cursor.version != self.version:
            raise ThrottledError("look up a parked key", "its lane was written meanwhile")

    def get(self, roster: Roster, parking_id: str) -> Parked | None:
        """Return the key of that id as it is by now. It is read if it is not known yet."""
        if parking_id not in self.now and not self._is_whole and roster.count:
            self.look(roster, [digest_of_id(parking_id)])
        return self.now.get(parking_id)

    def alone(self, roster: Roster, key: str) -> list[Parked]:
        """Return a key's events that are parked alone, in order: from a time when the subscription kept no order.

        While the lane has any such events, a visit reads all that is parked in it.
        """
        if self._alone is None:
            if not self._is_whole:
                if not roster.has_alone:
                    return []
                self._read_whole()
            # By number, because only the first of a key may be tried again: the others wait behind it.
            self._alone = defaultdict(list)
            for parked in sorted(self.stored.values(), key=lambda stored: stored.first.sequence):
                if is_alone(parked.id):
                    self._alone[parked.key].append(parked.id)
        return [self.now[parking_id] for parking_id in self._alone.get(key, ()) if parking_id in self.now]

    def _read_whole(self) -> None:
        """Read all of the lane's parked keys."""
        # This is rare: for events parked while no order was kept, and if the first event that waits is freed.
        state = whole_state(self._ledger, self._key, clock=self._clock)
        self._keep(state.parked.get(self._region, {}).values())
        self._is_whole = True

    def count(self, roster: Roster) -> int:
        """Return how many keys are parked."""
        return len(self.now) if self._is_whole else roster.count - len(self.stored) + len(self.now)

    def retrying(self, roster: Roster) -> int:
        """Return how many parked keys are tried again automatically."""
        retrying = sum(parked.state is ParkedState.RETRYING for parked in self.now.values())
        if self._is_whole:
            return retrying
        return (
            len(roster.retrying)
            - sum(parked.state is ParkedState.RETRYING for parked in self.stored.values())
            + retrying
        )

    def beside(self, moved: Cursor, read: Cursor, changes: Sequence[ParkedChange]) -> Cursor:
        """Return the cursor beside the keys as they are after changes.

        If the first event that waits is freed while unread keys stay, all keys are read to find the new first one.
        """
        known = after_changes(self.stored, changes)
        if not (self._is_whole or len(known) == read.roster.after(changes).count):
            if not _is_freed(read, changes):
                return moved.beside_changed(read, changes)
            self._read_whole()
        return moved.beside_after(read, self.stored, changes)

    def _keep(self, parked_keys: Iterable[Parked]) -> None:
        """Keep keys that were read, unless they are known."""
        for parked in parked_keys:
            # A key that the visit knows may have changed since, and must not be set back.
            if parked.id not in self.stored:
                self._looked.add(digest_of_id(parked.id))
                self.stored[parked.id] = self.now[parked.id] = parked


def _is_freed(read: Cursor, changes: Sequence[ParkedChange]) -> bool:
    """Tell if the lane's first waiting event waits no more after changes."""
    for change in changes:
        before, after = change.before, change.after
        if read.low is not None and before is not None and before.first.sequence == read.low.sequence:
            return after is None or after.first.sequence != before.first.sequence
    return False


def _missing(sought: list[bytes], parked_keys: list[Parked]) -> list[bytes]:
    read_digests = {digest_of_id(parked.id) for parked in parked_keys}
    return [digest for digest in sought if digest not in read_digests]
