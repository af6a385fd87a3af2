"""Records what the local subscriptions handled, at the moment at which an event counts as handled."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from eventfabric.model import (
    CommitOutcome,
    Committed,
    Cursor,
    Event,
    LaneKey,
    LaneState,
    ParkedChange,
    Region,
    SequenceNumber,
)
from eventfabric.ports import Attempt, Clock, Handler, Ledger
from eventfabric.testing.local.outcomes import end_test
from eventfabric.wire.published import Effect

_logger: Final = logging.getLogger("eventfabric.local")


@dataclass(frozen=True)
class Handled:
    """One event that a subscription handled in a Region."""

    event: Event
    region: str
    at_ms: int
    attempt: int
    is_replay: bool = False


class HandledLog:
    """Events that one subscription handled in one Region, in that order.

    With exactly_once, an event counts when its writes and the cursor are committed; otherwise when its handler
    returned, so that an event that is handled twice appears twice.
    """

    def __init__(self, region: str, clock: Clock, *, counts_at_commit: bool) -> None:
        self.entries: list[Handled] = []
        self._region = region
        self._clock = clock
        self._counts_at_commit = counts_at_commit
        self._pending: list[Handled] = []

    def handler(self, inner: Handler) -> Handler:
        """Wrap a handler, to record the events that it handles."""
        return _ObservedHandler(inner, self)

    def ledger(self, inner: Ledger) -> Ledger:
        """Wrap a ledger, to record commits."""
        return cast(Ledger, _ObservedLedger(inner, self))

    def returned(self, events: Sequence[Event], attempt: Attempt) -> None:
        """Record that the handler returned."""
        now_ms = self._clock.now_ms()
        entries = [Handled(event, self._region, now_ms, attempt.number, attempt.replay) for event in events]
        (self._pending if self._counts_at_commit else self.entries).extend(entries)

    def began(self) -> None:
        """Record that a lane run began: events of an earlier run that were not committed never count."""
        self._pending.clear()

    def committed(self, key: LaneKey, end: int, waiting: set[SequenceNumber]) -> None:
        """Record that a lane's cursor stands at `end`. Events that wait in parked keys are not handled."""
        here = [h for h in self._pending if h.event.lane == key.lane and (h.event.sequence or 0) < end]
        self.entries.extend(h for h in here if h.event.sequence not in waiting)
        self._pending = [h for h in self._pending if h not in here]


class _ObservedHandler:
    def __init__(self, inner: Handler, log: HandledLog) -> None:
        self._inner = inner
        self._log = log
        self.batch_events_max = inner.batch_events_max

    def attempt(self, events: Sequence[Event], attempt: Attempt) -> Sequence[Effect]:
        try:
            writes = self._inner.attempt(events, attempt)
        except Exception as error:  # handlers may raise anything; it is raised again
            end_test(error)
            # On AWS no log tells what an error says, because it may hold an event's data. On this machine it may.
            names = ", ".join(str(event.id) for event in events)
            where = f"subscription {attempt.subscription}, event {names}, attempt {attempt.number}"
            _logger.warning("%s: the handler failed", where, exc_info=True)
            raise
        self._log.returned(events, attempt)
        return writes


class _ObservedLedger:
    def __init__(self, inner: Ledger, log: HandledLog) -> None:
        self._inner = inner
        self._log = log
        self.region: Region = inner.region

    def state(self, key: LaneKey, *, glance: bool = False) -> LaneState:
        if glance:
            self._log.began()
        return self._inner.state(key, glance=glance)

    def commit(self, key: LaneKey, read: Cursor, moved: Cursor, **others: Any) -> CommitOutcome:
        outcome = self._inner.commit(key, read, moved, **others)
        changes: Sequence[ParkedChange] = others.get("parked", ())
        changes_nothing = (
            moved == read and not changes
        )  # it only asks if a write of the handler's was refused
        if isinstance(outcome, Committed) and not changes_nothing:
            # Waiting events that are not listed were passed over, and never handed to the handler.
            waiting = {place.sequence for change in changes if change.after for place in change.after.waiting}
            self._log.committed(key, outcome.cursor.sequence, waiting)
        return outcome

    def acting_for(self, region: Region) -> Ledger:
        return cast(Ledger, _ObservedLedger(self._inner.acting_for(region), self._log))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
