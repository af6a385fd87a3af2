"""Run: hand the events of one stretch to the handler, in groups that commit together.

Under exactly_once, the writes of a group commit with the cursor. A group never has two events of one key, so that a
handler reads what it wrote for the key before.

After a crash the run is careful: it goes event by event, writes each attempt down before it, and commits after it. So
only the event that was being attempted is blamed for the next crash:

    commit [attempting e5, crashes 1] ── attempt e5 ── commit [e6]
                                            └── the process dies: the next visit reads 'attempting e5': crashes 2
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from eventfabric import limits
from eventfabric.errors import LateEventError, ParkedFullError
from eventfabric.model import Event, RaceLost
from eventfabric.services.delivery.ahead import AttemptOutcome
from eventfabric.services.delivery.endings import (
    CarefulPartDone,
    CircuitOpen,
    Ended,
    OutOfTime,
    Refused,
    Stopped,
    only_race,
    refusal,
)
from eventfabric.services.delivery.retry import Failed
from eventfabric.services.delivery.stretch import Stretch
from eventfabric.services.delivery.visit import Visit
from eventfabric.wire.commit_size import CommitSize, size_of_key
from eventfabric.wire.published import NO_ROOMS, Effect, Rooms, size_of_effects, size_of_records

_ONE_KEY: Final = CommitSize(1, limits.PARKED_BYTES_MAX)
_NO_KEYS: Final = frozenset[str]()


@dataclass(frozen=True, slots=True)
class Rewound:
    """The run goes on from an earlier event: some that were attempted together are to go one by one."""


@dataclass(slots=True)
class _Entry:
    """Events that were attempted together, from `index` of their stretch on, and their effects, to commit with them."""

    index: int
    events: Sequence[Event]
    effects: Sequence[Effect]


class Run:
    """The run through a stretch's events. `_index`: the next event; up to `_single_until` they go one by one."""

    def __init__(self, visit: Visit, stretch: Stretch) -> None:
        self._visit = visit
        self._stretch = stretch
        self._refuses_late = stretch.late and visit.refuses_late
        visit.look_ahead(stretch)
        self._index = 0
        self._single_until = len(stretch.events) if stretch.late else 0
        self._group: list[_Entry] = []
        self._keys: set[str] = set()
        self._effects_size = CommitSize()
        self._rooms = NO_ROOMS
        self._ahead: dict[int, AttemptOutcome] = {}
        self._circuit_opened = False

    def run(self) -> Ended | None:
        """Hand out events until none is left. None if all are committed."""
        while True:
            index, batch = self._next()
            # Without a batch, either all are done, or so many keys changed that they fill a commit.
            ended = self._attempt(index, batch) if batch else self._flush(self._index)
            if ended is not None and not isinstance(ended, Rewound):
                return ended
            if batch and self._circuit_opened and not self._ahead:
                return self._flush_and_end(self._index, CircuitOpen())
            if not batch and ended is None and self._index >= len(self._stretch.events):
                return None

    def _next(self) -> tuple[int, Sequence[Event]]:
        """Return the next events to attempt together, and the index of the first. Steps over events of parked keys."""
        visit, events = self._visit, self._stretch.events
        goes_alone = visit.careful or visit.probes or self._index < self._single_until
        size = 1 if goes_alone else visit.batch_events_max
        # Most lanes have no parked keys, and take this path: no event is looked at.
        if visit.parking.is_empty:
            index, self._index = self._index, min(self._index + size, len(events))
            return index, events[index : self._index]
        return self._next_not_parked(size)

    def _next_not_parked(self, size: int) -> tuple[int, Sequence[Event]]:
        """Return the next events whose keys are not parked. Those before and between them wait in their keys."""
        visit, events = self._visit, self._stretch.events
        index, batch = self._index, list[Event]()
        while self._index < len(events) and len(batch) < size and self._has_room(_ONE_KEY):
            place = self._stretch.place(self._index)
            parked = visit.parked_with(self._stretch.keys[self._index], place)
            if parked is not None:
                if not self._has_room(size_of_key(parked)):
                    break
                visit.wait(parked, place)
            else:
                index = index if batch else self._index
                batch.append(events[self._index])
            self._index += 1
        return index, batch

    def _attempt(self, index: int, batch: Sequence[Event]) -> Ended | Rewound | None:
        """Attempt a batch that begins at an index. Return why the run ends, or that it rewinds; None if it goes on."""
        visit, after = self._visit, self._index
        if self._refuses_late and (refused := _too_late(batch[0])) is not None:
            return self._failed(index, batch, refused, after)
        keys = self._keys_of(index, batch) if visit.transactional else _NO_KEYS
        if not self._keys.isdisjoint(keys) and (ended := self._commit_before(index)) is not None:
            return ended
        if visit.careful and (ended := self._write_down(index, batch[0])) is not None:
            return ended
        tried = self._tried(index, batch)
        if isinstance(tried, OutOfTime):
            return self._flush_and_end(index, tried)
        if isinstance(tried, Failed):
            return self._failed(index, batch, tried, after)
        return self._join(_Entry(index, batch, tried), keys, after)

    def _commit_before(self, index: int) -> Ended | Rewound | None:
        """Commit up to an event whose key was written for before: its handler must read what was written then."""
        ended = self._flush(index)
        if ended is None and not self._visit.parking.is_empty:
            # An event of its key may have been refused and parked just now; then this one has to wait.
            self._index = index
            return Rewound()
        return ended

    def _join(self, entry: _Entry, keys: frozenset[str], after: int) -> Ended | Rewound | None:
        """Add what succeeded to the commit that is being prepared. `after`: the index after it."""
        if entry.effects:
            size = size_of_effects(entry.effects)
            # Two small commits cost more than one, so a group grows until a transaction is full.
            if not self._has_room_for(entry, size) and (ended := self._flush(entry.index)) is not None:
                return ended
            self._effects_size += size
            self._rooms = self._rooms_with(entry)
        self._group.append(entry)
        self._keys |= keys
        return self._flush(after) if self._visit.careful or self._visit.probes else None

    def _tried(self, index: int, batch: Sequence[Event]) -> AttemptOutcome:
        """Return the outcome of the batch's attempt, which may have been made ahead of its turn."""
        if not self._ahead:
            self._ahead = self._visit.attempt_ahead(self._stretch, self._next_ahead(index))
        tried, stretch = self._ahead.pop(index, None), self._stretch
        if tried is not None:
            return tried
        again = partial(stretch.again, index)
        return self._visit.attempt(stretch.handed(batch), again=again, replay=stretch.replay)

    def _keys_of(self, index: int, batch: Sequence[Event]) -> frozenset[str]:
        """Return the keys of a batch that begins at an index.

        The key of a single event is not read from the event: it may have been attempted ahead, and changed by its
        handler.
        """
        return (
            frozenset(event.key for event in batch)
            if len(batch) > 1
            else frozenset((self._stretch.keys[index],))
        )

    def _next_ahead(self, start: int) -> Iterator[int]:
        """Yield the indices, from `start` on, of events that may be attempted before their turn."""
        visit, stretch, keys = self._visit, self._stretch, set(self._keys)
        for index in range(start, min(start + limits.AHEAD_EVENTS * visit.concurrency, len(stretch.events))):
            key = stretch.keys[index]
            if visit.transactional and key in keys:
                return  # its handler must read what was written for the event before it
            keys.add(key)
            if visit.parked_with(key, stretch.place(index)) is None:
                yield index

    def _failed(
        self, index: int, batch: Sequence[Event], failed: Failed, after: int
    ) -> Ended | Rewound | None:
        """Park the event; of several, go through them one by one. `after`: the index after them."""
        if len(batch) > 1:
            return self._go_one_by_one(index, self._index)
        if not self._has_room(_ONE_KEY) and (ended := self._flush(index)) is not None:
            return ended
        # Parked as the log has it: the handler may have changed the event before it failed.
        self._stretch.restore(index, index + 1)
        event, place = self._stretch.events[index], self._stretch.place(index)
        try:
            beside = sum(len(entry.events) for entry in self._group)
            waits = self._visit.park(event, place, failed, handled_beside=beside)
        except ParkedFullError as error:
            return self._flush_and_end(index, Stopped(error))
        self._circuit_opened |= waits  # outcomes of attempts made ahead are still handled
        return self._flush_and_end(after, CircuitOpen()) if waits and not self._ahead else None

    def _go_one_by_one(self, start: int, end: int) -> Rewound:
        """Go back to events that were attempted together, and forget the attempts of all events after them."""
        self._stretch.restore(start, self._index)
        self._index, self._single_until = start, end
        return Rewound()

    def _has_room(self, size: CommitSize) -> bool:
        """Tell if the commit that is being prepared has room for so much more."""
        return (self._effects_size + self._rooms.size + self._visit.parking.size + size).fits

    def _has_room_for(self, entry: _Entry, size: CommitSize) -> bool:
        """Tell if the commit that is being prepared has room for an entry, whose records may join those of others."""
        rooms = self._rooms_with(entry)
        if rooms is self._rooms:
            return self._has_room(size)
        joins = rooms.may_grow or not self._rooms.of
        return joins and self._has_room(size + size_of_records(rooms.records - self._rooms.records))

    def _rooms_with(self, entry: _Entry) -> Rooms:
        """Return the records that the commit needs with an entry. Only a transaction counts them."""
        return self._rooms.after(entry.effects) if self._visit.transactional else self._rooms

    def _write_down(self, index: int, event: Event) -> Ended | None:
        """Note that the event is about to be attempted. If it crashed too often, set it aside and end the run."""
        place = self._stretch.place(index)
        crashes = self._visit.crashes_at(place.sequence)
        if crashes >= limits.CRASHES_MAX:
            self._visit.crashed(event, place, crashes)
            return self._flush_and_end(self._index, CarefulPartDone())
        # Before the attempt: a process that dies in it leaves nothing else that tells which event to blame.
        noted_cursor = self._stretch.cursor_at(place.sequence)
        lost = self._visit.commit(replace(noted_cursor, attempting=True, crashes=crashes))
        return None if lost is None else only_race(lost)

    def _flush_and_end(self, index: int, end: Ended) -> Ended:
        """Commit everything up to the event of an index. End the run with `end`, unless the commit ends it."""
        flushed = self._flush(index)
        return end if flushed is None or isinstance(flushed, Rewound) else flushed

    def _flush(self, index: int) -> Ended | Rewound | None:
        """Commit everything up to the event of an index. Rewound if several refused events are to go one by one."""
        group, self._group, self._keys = self._group, [], set()
        self._effects_size, self._rooms = CommitSize(), NO_ROOMS
        # One write for the whole group, however many events it has: that is all that a healthy run costs.
        effects = [effect for entry in group for effect in entry.effects]
        outcome = self._visit.commit(self._stretch.cursor_at(self._stretch.before(index)), effects)
        if outcome is None:
            self._handled(group)
            return None
        if isinstance(outcome, RaceLost):
            return outcome
        return self._commit_apart(group, outcome, index)

    def _commit_apart(self, group: Sequence[_Entry], refused: Refused, index: int) -> Ended | Rewound | None:
        """Commit a refused group entry by entry, up to the event of an index.

        So each is refused for its own writes only, and two that touch one item no longer meet.
        """
        assert group, "a commit without writes has none to refuse"
        ends = [*(entry.index for entry in group[1:]), index]
        for entry, end in zip(group, ends, strict=True):
            outcome = refused if len(group) == 1 else self._commit_entry(entry, end)
            if outcome is None:
                self._handled([entry])
            elif isinstance(outcome, RaceLost):
                return outcome
            elif len(entry.events) > 1:
                return self._go_one_by_one(entry.index, end)
            elif (ended := self._failed(entry.index, entry.events, refusal(outcome), end)) is not None:
                return ended
        return self._flush(index)

    def _commit_entry(self, entry: _Entry, end: int) -> RaceLost | Refused | None:
        """Commit the effects of one entry, and everything up to the event of an index."""
        return self._visit.commit(self._stretch.cursor_at(self._stretch.before(end)), entry.effects)

    def _handled(self, group: Sequence[_Entry]) -> None:
        """Report events that were handled and are committed."""
        self._visit.handled(sum(len(entry.events) for entry in group), self._stretch.oldest_ms)


def _too_late(event: Event) -> Failed | None:
    """Return the failure of an event whose subscription refuses late ones; None: it is not late."""
    later = event.later
    if later is None:
        return None
    error = LateEventError(f"event {later.id} of its key, published later in {later.origin}, is handled")
    return Failed(error, 0)
