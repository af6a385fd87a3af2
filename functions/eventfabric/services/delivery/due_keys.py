"""Due keys: the events of parked keys that are to be tried again, those of each key in order.

its first event   another of its key is before it, or it is not here yet      the key rests
                  its record has expired                                      dead, without being tried
                  handled                                                     the next event of the key
                  failed                                                      parked anew: later, or dead
"""

from collections.abc import Sequence
from dataclasses import replace
from enum import Enum
from functools import partial

from eventfabric import limits
from eventfabric.errors import LogError
from eventfabric.model import Event, Parked, ParkedState, RaceLost, is_alone
from eventfabric.services.delivery.context import VisitContext
from eventfabric.services.delivery.endings import CarefulPartDone, CircuitOpen, Ended, OutOfTime, Stopped
from eventfabric.services.delivery.retry import CRASHED, EXPIRED, Failed
from eventfabric.services.delivery.visit import Visit
from eventfabric.services.delivery.waiting import Absent, Refill, WaitingEvents
from eventfabric.wire.published import Effect, digest_of_edit


class _Continuation(Enum):
    """Continuation of a key after its first event was looked at."""

    GOES_ON = "with its next event"
    RESTS = "with what changed of it being committed"
    SAVED = "with nothing: that is committed"


class DueKeys:
    """Retrier of the keys of one visit that are due."""

    def __init__(self, context: VisitContext, visit: Visit) -> None:
        self._context = context
        self._visit = visit
        self._waiting = WaitingEvents(context, visit.key.lane, visit.lateness)
        self._refill = Refill(
            context,
            visit.key,
            waiting=self._waiting,
            stepped_over=visit.stepped_over,
            deadline_ms=visit.deadline_ms,
        )

    def retry(self, due: Sequence[Parked]) -> Ended | None:
        """Try each key's events in order, until one fails or none waits."""
        visit = self._visit
        # Stale notes are written beforehand, because a handler may need all the room of its transaction.
        if due and visit.transactional and visit.parking.has_stale and (lost := visit.save()):
            return lost
        for parked in due:
            try:
                ended = self._retry(parked.id)
            except LogError as error:
                # What was done before is committed, even if the log then stops the lane.
                ended = visit.save() or Stopped(error)
            if ended is not None:
                return ended
        return None

    def _retry(self, parking_id: str) -> Ended | None:
        """Try the events of one key."""
        parking = self._visit.parking
        while (parked := parking.known(parking_id)) is not None and parked.state is ParkedState.RETRYING:
            outcome = self._try_first(parked)
            if outcome is _Continuation.SAVED:
                return None
            if outcome is _Continuation.RESTS:
                break
            if outcome is not _Continuation.GOES_ON:
                return outcome
        return self._visit.save()

    def _try_first(self, parked: Parked) -> Ended | _Continuation:
        """Try the key's first event."""
        visit = self._visit
        if self._is_behind_another(parked):
            return _Continuation.RESTS
        if not parked.waiting:
            return self._filled(parked)
        match self._waiting.first_of(parked):
            case Absent.NOT_LOOKED_AT:
                return visit.save() or OutOfTime()
            case Absent.NOT_HERE:
                return (
                    _Continuation.RESTS
                )  # another Region's record: it brings a doorbell of its own when it comes
            case Absent.EXPIRED:
                visit.bury(parked.key, parked.id, parked.first, kind=EXPIRED, before=parked)
                return _Continuation.RESTS
            case Event() as event:
                return self._try_event(parked, event)

    def _try_event(self, parked: Parked, event: Event) -> Ended | _Continuation:
        """Try the event by the subscription's guarantee. After a crash, the attempt is written down before it."""
        if self._visit.commits_first:
            return self._attempt_once(parked, event) or _Continuation.GOES_ON
        if self._visit.careful and (ended := self._write_down(parked, event)) is not None:
            return ended
        return self._attempt(self._visit.parking.known(parked.id) or parked, event)

    def _attempt(self, parked: Parked, event: Event) -> Ended | _Continuation:
        """Attempt the key's first event, and keep or commit the outcome."""
        visit, parking = self._visit, self._visit.parking
        again = partial(_copied, event)
        attempts, replay = parked.failure.attempts, parked.first.replay
        edit = "" if parked.replacement is None else digest_of_edit(parked.replacement)
        outcome = visit.attempt(again(), again=again, attempts=attempts, replay=replay, edit=edit)
        if isinstance(outcome, OutOfTime):
            parking.set(replace(parked, attempting=False))
            return visit.save() or outcome
        if not isinstance(outcome, Failed):
            refused = self._handled(parked, outcome)
            if refused is None:
                return _Continuation.GOES_ON
            if isinstance(refused, RaceLost):
                return refused
            parking.set(parked)
            outcome = refused
        waits = visit.park(event, parked.first, outcome, already_parked=parked)
        return visit.save() or (CircuitOpen() if waits else _Continuation.SAVED)

    def _handled(self, parked: Parked, effects: Sequence[Effect]) -> Failed | RaceLost | None:
        """Take the handled event out of its key, with its effects. Return the refusal of these, or a lost race."""
        visit = self._visit
        self._without_first(parked)
        # Otherwise one commit is enough for all events of the key.
        commits = bool(effects) or visit.careful or visit.transactional or visit.probes
        refused = visit.save_with(effects) if commits else None
        if refused is None:
            visit.handled(1)
        return refused

    def _attempt_once(self, parked: Parked, event: Event) -> Ended | None:
        """Commit the key without its first event, and only then attempt that event, unless it was attempted before."""
        visit, is_spent = self._visit, _is_spent(parked)
        if not (is_spent or visit.attempts_that_fit):
            return visit.save() or OutOfTime()
        visit.await_credit()
        self._without_first(parked)
        # Committed first: a process that dies in the attempt drops the event, and never repeats it.
        if (lost := visit.save()) is not None:
            return lost
        again, replay = partial(_copied, event), parked.first.replay
        edit = "" if parked.replacement is None else digest_of_edit(parked.replacement)
        outcome = None if is_spent else visit.attempt(again(), again=again, tries=1, replay=replay, edit=edit)
        if outcome is None or isinstance(outcome, OutOfTime):
            visit.dropped(1)
        elif not isinstance(outcome, Failed):
            visit.publish_after(outcome)
            visit.handled(1)
        return None

    def _without_first(self, parked: Parked) -> None:
        """Remove the key's first event, and free the key if no other waits."""
        rest, parking = parked.without_first(), self._visit.parking
        parking.set(rest) if rest else parking.free(parked.id)

    def _write_down(self, parked: Parked, event: Event) -> Ended | None:
        """Note that the key's first event is about to be attempted. If it crashed too often, leave it dead instead."""
        visit = self._visit
        crashes = parked.failure.crashes + (1 if parked.attempting else 0)
        if parked.attempting:
            visit.tell_crash(parked.first.sequence, crashes)
        if crashes >= limits.CRASHES_MAX:
            visit.bury(
                parked.key, parked.id, parked.first, kind=CRASHED, before=parked, event=event, crashes=crashes
            )
            return visit.save() or CarefulPartDone()
        noted = replace(parked.failure, crashes=crashes)
        visit.parking.set(replace(parked, attempting=True, failure=noted))
        return visit.save()

    def _filled(self, parked: Parked) -> Ended | _Continuation:
        """List the next events of a key that lists none, from the log."""
        visit = self._visit
        filled = self._refill.fill(parked, visit.cursor.sequence, visit.settle)
        if isinstance(filled, RaceLost):
            return filled
        if filled is None:
            visit.parking.free(parked.id)
        elif not isinstance(filled, Absent):
            if filled.waiting:
                visit.parking.set(filled)
                return _Continuation.GOES_ON
            # The visit has read enough of the log: new events and other keys must not be held up.
            again_ms = self._context.clock.now_ms() + 1000 * limits.WAITING_AGAIN_SECONDS
            visit.parking.set(replace(filled, due_ms=again_ms))
        return _Continuation.RESTS

    def _is_behind_another(self, parked: Parked) -> bool:
        """Tell if an event that was parked while no order was kept waits with an earlier one of its key before it."""
        if not (self._context.policy.keeps_order and is_alone(parked.id)):
            return False
        return self._visit.parking.alone(parked.key)[0].id != parked.id


def _is_spent(parked: Parked) -> bool:
    """Tell if the first event was attempted before: under another guarantee, because at most once it leaves its key."""
    failure = parked.failure
    return parked.attempting or failure.attempts > 0 or failure.crashes > 0


def _copied(event: Event) -> Sequence[Event]:
    return [event.copy()]
