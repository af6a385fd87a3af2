"""Refill: if more events wait in a parked key than it lists, read the next ones from the log.

    key a parked     lists 2, 5, 7, and its rest: whatever of a stands in the log from 9 on
    2, 5, 7 handled  lists none: the log is read from 9 up to the cursor, for the next of a

One visit reads a bounded number of records for all its keys. If these were not enough, the key says how far it came,
and is due again soon, so that new events and other keys are not held up meanwhile.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from eventfabric import limits
from eventfabric.model import (
    START,
    UNKNOWN_CHAIN,
    BatchId,
    Cursor,
    Lane,
    Parked,
    Place,
    RaceLost,
    Record,
    Rest,
    SequenceNumber,
)
from eventfabric.services.delivery.context import VisitContext
from eventfabric.services.delivery.stretch import Stretch
from eventfabric.services.delivery.waiting import Absent, WaitingEvents

Settle = Callable[[Sequence[Record]], RaceLost | None]


class Refill:
    """Filler of the lists of one visit's parked keys."""

    def __init__(
        self,
        context: VisitContext,
        lane: Lane,
        *,
        waiting: WaitingEvents,
        stepped_over: Collection[BatchId],
        deadline_ms: int,
    ) -> None:
        """`stepped_over`: noted batches that are delivered elsewhere."""
        self._context = context
        self._lane = lane
        self._waiting = waiting
        self._stepped_over = stepped_over
        self._deadline_ms = deadline_ms
        self._records_left = limits.WAITING_RECORDS_MAX

    def fill(self, parked: Parked, end: SequenceNumber, settle: Settle) -> Parked | Absent | RaceLost | None:
        """List the next events of a key that lists none, of those before `end`. None if no other waits.

        If the visit has read enough, the key still lists none, and its rest begins further on. LogError.

        `settle` decides about noted batches, and adds those that are delivered elsewhere to what is stepped over.
        """
        assert not parked.waiting, "a key is filled where it lists none"
        rest, places = _rest_of(parked), list[Place]()
        cursor = replace(START, sequence=rest.sequence, base=rest.base, chain=UNKNOWN_CHAIN)
        while cursor.sequence < end:
            # One place more than may be listed shows where the rest begins.
            if self._is_spent or len(places) > limits.PARKED_PLACES_MAX:
                return _listing(parked, places, rest.beginning_at(cursor.base, cursor.sequence))
            stretch = self._read(cursor, end, settle)
            if isinstance(stretch, RaceLost):
                return stretch
            places += self._places(stretch, rest, parked.key, end)
            if stretch.end > cursor.sequence:
                cursor = stretch.cursor_at(stretch.end)
            # What was found is listed, whatever stands in the way of more: those events need not wait for it.
            elif places:
                return _listing(parked, places, rest.beginning_at(cursor.base, cursor.sequence))
            elif stretch.stop is not None:
                raise stretch.stop
            else:
                return self._missing(parked, rest, cursor, end)
        return _listing(parked, places, None) if places else None

    @property
    def _is_spent(self) -> bool:
        """Tell if this visit may read no more."""
        return self._records_left <= 0 or self._context.clock.now_ms() >= self._deadline_ms

    def _read(self, cursor: Cursor, end: SequenceNumber, settle: Settle) -> Stretch | RaceLost:
        """Read the next stretch of the log."""
        most = min(self._records_left, limits.PAGE_RECORDS_MAX)
        records = self._context.log.read(self._lane, cursor.base, records_max=most, before=end).records
        # A read without records counts too, so that the reads of a visit are bounded.
        self._records_left -= max(1, len(records))
        stretch = Stretch(cursor, records, self._context.filter, self._stepped_over)
        if not stretch.noted:
            return stretch
        # The cursor has passed these batches, so each was decided about. Read which way.
        return settle(stretch.noted) or Stretch(cursor, records, self._context.filter, self._stepped_over)

    def _places(self, stretch: Stretch, rest: Rest, key: str, end: SequenceNumber) -> list[Place]:
        """Return the places of the key's events in a stretch."""
        return [
            replace(stretch.place(index), replay=rest.is_replay(stretch.sequences[index]))
            for index, event in enumerate(stretch.events)
            if event.key == key and stretch.sequences[index] < end
        ]

    def _missing(self, parked: Parked, rest: Rest, cursor: Cursor, end: SequenceNumber) -> Parked | Absent:
        """Return the key if the record at the cursor is gone. One place stands for all that expired there."""
        absent = self._waiting.absent(cursor.base)
        if absent is not Absent.EXPIRED:
            return Absent.NOT_HERE
        following = self._context.log.read(self._lane, cursor.base, records_max=1, before=end).records
        remaining = rest.beginning_at(following[0].sequence, following[0].sequence) if following else None
        return replace(
            parked, waiting=(rest.beginning_at(cursor.base, cursor.sequence).place,), rest=remaining
        )


def _rest_of(parked: Parked) -> Rest:
    """Return the rest of a key that is filled."""
    assert parked.rest is not None, "a key that lists none has a rest"
    return parked.rest


def _listing(parked: Parked, places: list[Place], rest: Rest | None) -> Parked:
    """Return the key with as many of the places as it may list. Those after these begin its rest."""
    most = limits.PARKED_PLACES_MAX
    if len(places) > most:
        began = _rest_of(parked)
        rest = began.beginning_at(places[most].base, places[most].sequence)
    return replace(parked, waiting=tuple(places[:most]), rest=rest)
