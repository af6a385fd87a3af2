"""Run: the events of one stretch through the handler, in groups that commit together.

Under exactly_once the writes of a group commit with the cursor, never two events of one key in one group, so that a
handler reads what it wrote for the key before.

Careful, after a crash: event by event, each attempt written down before it and each commit after it, so that only the
event that was being attempted is blamed for the next crash:

    commit [attempting e5, crashes 1] ── attempt e5 ── commit [e6]
                                            └── the process dies: the next visit reads 'attempting e5': crashes 2
"""

from collections.abc import Iterator
from collections.abc import Sequence as Seq
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
    """The run goes on from an event before: some that were attempted together are to go one by one."""


@dataclass(slots=True)
class _Entry:
    """Events that were attempted together, from `index` of their stretch on, and what they want written."""

    index: int
    events: Seq[Event]
    writes: Seq[Write]


class Run:
    """A stretch's events, from first to last. `index`: the next event; up to `single_until` they go one by one."""

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
        """Hand out events until none is left; None where all are committed."""
        while True:
            at, batch = self._next()
            # Without a batch, all are done, or so many keys changed that they need a commit of their own.
            ended = self._attempt(at, batch) if batch else self._flush(self._index)
            if not isinstance(ended, Rewound | None):
                return ended
            if batch and self._circuit_opened and not self._ahead:
                return self._flush_and_end(self._index, CircuitOpen())
            if not batch and ended is None and self._index >= len(self._stretch.events):
                return None

    def _next(self) -> tuple[int, Seq[Event]]:
        """The next events to attempt together, and the index of the first; those of parked keys are stepped over."""
        visit, events = self._visit, self._stretch.events
        alone = visit.careful or visit.probes or self._index < self._single_until
        size = 1 if alone else visit.batch_events_max
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

    def _attempt(self, at: int, batch: Seq[Event]) -> Ended | Rewound | None:
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
                # One of its key may have been refused, and parked: then this one waits.
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

    def _tried(self, at: int, batch: Seq[Event]) -> Tried:
        """What the attempt comes to, or came to ahead of its turn."""
        if not self._ahead:
            self._ahead = self._visit.attempt_ahead(self._stretch, self._next_ahead(at))
        tried, stretch = self._ahead.pop(at, None), self._stretch
        if tried is not None:
            return tried
        again = partial(stretch.again, at)
        return self._visit.attempt(stretch.handed(batch), again=again, replay=stretch.replay)

    def _keys_of(self, at: int, batch: Seq[Event]) -> frozenset[str]:
        """Keys of a batch that begins at that index. A single event may have been attempted ahead of its turn."""
        return (
            frozenset(event.key for event in batch)
            if len(batch) > 1
            else frozenset((self._stretch.keys[at],))
        )

    def _next_ahead(self, at: int) -> Iterator[int]:
        """The events from that one on that may be attempted before their turn."""
        visit, stretch, keys = self._visit, self._stretch, set(self._keys)
        for index in range(at, min(at + limits.AHEAD_EVENTS * visit.concurrency, len(stretch.events))):
            key = stretch.keys[index]
            if visit.transactional and key in keys:
                return  # its handler is to read what the one before it wrote
            keys.add(key)
            if visit.parked_with(key, stretch.place(index)) is None:
                yield index

    def _failed(self, at: int, batch: Seq[Event], failed: Failed, after: int) -> Ended | Rewound | None:
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
        self._circuit_opened |= waits  # those that were attempted ahead are gone through all the same
        return self._flush_and_end(after, CircuitOpen()) if waits and not self._ahead else None

    def _go_one_by_one(self, start: int, end: int) -> Rewound:
        """Go back to events that were attempted together, and to all that were attempted behind them."""
        self._stretch.restore(start, self._index)
        self._index, self._single_until = start, end
        return Rewound()

    def _has_room(self, more: CommitSize) -> bool:
        """Whether the commit that is being prepared can take so much more."""
        return (self._writes_size + self._visit.parking.size + more).fits

    def _write_down(self, at: int, event: Event) -> Ended | None:
        """Note that the event is about to be attempted; one that crashed too often is set aside, and ends the run."""
        place = self._stretch.place(at)
        crashes = self._visit.crashes_at(place.sequence)
        if crashes >= limits.CRASHES_MAX:
            self._visit.crashed(event, place, crashes)
            return self._flush_and_end(self._index, CarefulPartDone())
        here = self._stretch.cursor_at(place.sequence)
        lost = self._visit.commit(replace(here, attempting=True, crashes=crashes))
        return None if lost is None else only_race(lost)

    def _flush_and_end(self, index: int, end: Ended) -> Ended:
        """Commit all up to the event of that index, and end the run so, unless the commit ends it."""
        flushed = self._flush(index)
        return end if isinstance(flushed, Rewound | None) else flushed

    def _flush(self, index: int) -> Ended | Rewound | None:
        """Commit all up to the event of that index; Rewound where several that were refused are to go one by one."""
        group, self._group, self._keys, self._writes_size = self._group, [], set(), CommitSize()
        writes = [write for entry in group for write in entry.writes]
        outcome = self._visit.commit(self._stretch.cursor_at(self._stretch.before(index)), writes)
        if outcome is None:
            self._handled(group)
            return None
        if isinstance(outcome, RaceLost):
            return outcome
        # One by one: each event stands for its own writes, and two that touch one item no longer meet.
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

    def _handled(self, group: Seq[_Entry]) -> None:
        self._visit.handled(sum(len(entry.events) for entry in group), self._stretch.oldest_ms)
