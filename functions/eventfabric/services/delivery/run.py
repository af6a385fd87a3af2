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
from eventfabric.model.commit import RaceLost, Write
from eventfabric.model.event import Event
from eventfabric.services.delivery.ahead import Tried
from eventfabric.services.delivery.endings import (
    CarefulPartDone,
    CircuitOpen,
    Ended,
    OutOfTime,
    Stopped,
    only_race,
    refusal,
)
from eventfabric.services.delivery.retry import Failed
from eventfabric.services.delivery.stretch import Stretch
from eventfabric.services.delivery.visit import Visit
from eventfabric.wire.ledger_commit import CommitSize, size_of_key, size_of_writes

_ONE_KEY: Final = CommitSize(1, limits.PARKED_BYTES_MAX)
_NOTHING: Final = CommitSize()


@dataclass(frozen=True, slots=True)
class Rewound:
    """The run goes on from an earlier event: some that were attempted together are to go one by one."""


@dataclass(slots=True)
class _Entry:
    """Events that were attempted together, from `index` of their stretch on, and the writes to commit for them."""

    index: int
    events: Sequence[Event]
    writes: Sequence[Write]


class Run:
    """The run through a stretch's events. `_index`: the next event; up to `_single_until` they go one by one."""

    def __init__(self, visit: Visit, stretch: Stretch) -> None:
        self._visit = visit
        self._stretch = stretch
        visit.look_ahead(stretch)
        self._index = 0
        self._single_until = len(stretch.events) if stretch.late else 0
        self._group: list[_Entry] = []
        self._keys: set[str] = set()
        self._writes_size = CommitSize()
        self._ahead: dict[int, Tried] = {}
        self._circuit_opened = False

    def run(self) -> Ended | None:
        """Hand out events until none is left. None if all are committed."""
        while True:
            at, batch = self._next()
            # Without a batch, either all are done, or so many keys changed that they fill a commit.
            ended = self._attempt(at, batch) if batch else self._flush(self._index)
            if not isinstance(ended, Rewound | None):
                return ended
            if batch and self._circuit_opened and not self._ahead:
                return self._flush_and_end(self._index, CircuitOpen())
            if not batch and ended is None and self._index >= len(self._stretch.events):
                return None

    def _next(self) -> tuple[int, Sequence[Event]]:
        """Return the next events to attempt together, and the index of the first. Steps over events of parked keys."""
        visit, events = self._visit, self._stretch.events
        alone = visit.careful or visit.probes or self._index < self._single_until
        size = 1 if alone else visit.batch_events_max
        # Most lanes have no parked keys, and take this path: no event is looked at.
        if visit.parking.is_empty:
            at, self._index = self._index, min(self._index + size, len(events))
            return at, events[at : self._index]
        at, batch = self._index, list[Event]()
        while self._index < len(events) and len(batch) < size and self._has_room(_ONE_KEY):
            place = self._stretch.place(self._index)
            parked = visit.parked_with(self._stretch.keys[self._index], place)
            if parked is not None:
                if not self._has_room(size_of_key(parked)):
                    break
                visit.wait(parked, place)
            else:
                at = at if batch else self._index
                batch.append(events[self._index])
            self._index += 1
        return at, batch

    def _attempt(self, at: int, batch: Sequence[Event]) -> Ended | Rewound | None:
        """Attempt a batch that begins at an index. Return why the run ends, or that it rewinds; None if it goes on."""
        visit, after = self._visit, self._index
        if self._stretch.late and visit.refuses_late and (later := batch[0].later) is not None:
            error = LateEventError(
                f"event {later.id} of its key, published later in {later.origin}, is handled"
            )
            return self._failed(at, batch, Failed(error, 0), after)
        keys = self._keys_of(at, batch) if visit.transactional else frozenset()
        if not self._keys.isdisjoint(keys):
            if (ended := self._flush(at)) is not None:
                return ended
            if not visit.parking.is_empty:
                # An event of its key may have been refused and parked just now; then this one has to wait.
                self._index = at
                return Rewound()
        if visit.careful and (ended := self._write_down(at, batch[0])) is not None:
            return ended
        tried = self._tried(at, batch)
        if isinstance(tried, OutOfTime):
            return self._flush_and_end(at, tried)
        if isinstance(tried, Failed):
            return self._failed(at, batch, tried, after)
        size = size_of_writes(tried) if tried else _NOTHING
        if tried and not self._has_room(size) and (ended := self._flush(at)) is not None:
            return ended
        self._group.append(_Entry(at, batch, tried))
        if visit.transactional:
            self._keys |= keys
            if tried:
                self._writes_size += size
        return self._flush(after) if visit.careful or visit.probes else None

    def _tried(self, at: int, batch: Sequence[Event]) -> Tried:
        """Return the outcome of the batch's attempt, which may have been made ahead of its turn."""
        if not self._ahead:
            self._ahead = self._visit.attempt_ahead(self._stretch, self._next_ahead(at))
        tried, stretch = self._ahead.pop(at, None), self._stretch
        if tried is not None:
            return tried
        again = partial(stretch.again, at)
        return self._visit.attempt(stretch.handed(batch), again=again, replay=stretch.replay)

    def _keys_of(self, at: int, batch: Sequence[Event]) -> frozenset[str]:
        """Return the keys of a batch that begins at an index.

        The key of a single event is not read from the event: it may have been attempted ahead, and changed by its
        handler.
        """
        return (
            frozenset(event.key for event in batch)
            if len(batch) > 1
            else frozenset((self._stretch.keys[at],))
        )

    def _next_ahead(self, at: int) -> Iterator[int]:
        """Yield the indices, from `at` on, of events that may be attempted before their turn."""
        visit, stretch, keys = self._visit, self._stretch, set(self._keys)
        for index in range(at, min(at + limits.AHEAD_EVENTS * visit.concurrency, len(stretch.events))):
            key = stretch.keys[index]
            if visit.transactional and key in keys:
                return  # its handler must read what was written for the event before it
            keys.add(key)
            if visit.parked_with(key, stretch.place(index)) is None:
                yield index

    def _failed(self, at: int, batch: Sequence[Event], failed: Failed, after: int) -> Ended | Rewound | None:
        """Park the event; of several, go through them one by one. `after`: the index after them."""
        if len(batch) > 1:
            return self._go_one_by_one(at, self._index)
        if not self._has_room(_ONE_KEY) and (ended := self._flush(at)) is not None:
            return ended
        self._stretch.restore(at, at + 1)
        event, place = self._stretch.events[at], self._stretch.place(at)
        try:
            beside = sum(len(entry.events) for entry in self._group)
            waits = self._visit.park(event, place, failed, handled_beside=beside)
        except ParkedFullError as error:
            return self._flush_and_end(at, Stopped(error))
        self._circuit_opened |= waits  # outcomes of attempts made ahead are still handled
        return self._flush_and_end(after, CircuitOpen()) if waits and not self._ahead else None

    def _go_one_by_one(self, start: int, end: int) -> Rewound:
        """Go back to events that were attempted together, and forget the attempts of all events after them."""
        self._stretch.restore(start, self._index)
        self._index, self._single_until = start, end
        return Rewound()

    def _has_room(self, more: CommitSize) -> bool:
        """Tell if the commit that is being prepared has room for so much more."""
        return (self._writes_size + self._visit.parking.size + more).fits

    def _write_down(self, at: int, event: Event) -> Ended | None:
        """Note that the event is about to be attempted. If it crashed too often, set it aside and end the run."""
        place = self._stretch.place(at)
        crashes = self._visit.crashes_at(place.sequence)
        if crashes >= limits.CRASHES_MAX:
            self._visit.crashed(event, place, crashes)
            return self._flush_and_end(self._index, CarefulPartDone())
        here = self._stretch.cursor_at(place.sequence)
        lost = self._visit.commit(replace(here, attempting=True, crashes=crashes))
        return None if lost is None else only_race(lost)

    def _flush_and_end(self, index: int, end: Ended) -> Ended:
        """Commit everything up to the event of an index. End the run with `end`, unless the commit ends it."""
        flushed = self._flush(index)
        return end if isinstance(flushed, Rewound | None) else flushed

    def _flush(self, index: int) -> Ended | Rewound | None:
        """Commit everything up to the event of an index. Rewound if several refused events are to go one by one."""
        group, self._group, self._keys, self._writes_size = self._group, [], set(), CommitSize()
        writes = [write for entry in group for write in entry.writes]
        outcome = self._visit.commit(self._stretch.cursor_at(self._stretch.before(index)), writes)
        if outcome is None:
            self._handled(group)
            return None
        if isinstance(outcome, RaceLost):
            return outcome
        # Entry by entry, each is refused for its own writes only, and two that touch one item no longer meet.
        for number, entry in enumerate(group):
            after = group[number + 1].index if number + 1 < len(group) else index
            if len(group) > 1:
                outcome = self._visit.commit(
                    self._stretch.cursor_at(self._stretch.before(after)), entry.writes
                )
            if outcome is None:
                self._handled([entry])
            elif isinstance(outcome, RaceLost):
                return outcome
            elif len(entry.events) > 1:
                return self._go_one_by_one(entry.index, after)
            else:
                ended = self._failed(entry.index, entry.events, refusal(outcome), after)
                if ended is not None:
                    return ended
        return self._flush(index)

    def _handled(self, group: Sequence[_Entry]) -> None:
        """Report events that were handled and are committed."""
        self._visit.handled(sum(len(entry.events) for entry in group), self._stretch.oldest_ms)
