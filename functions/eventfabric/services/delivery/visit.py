"""Visit: one look at a lane's state, the keys that are due, and what becomes of events that fail."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

from eventfabric import limits
from eventfabric.errors import ParkedFullError
from eventfabric.model import (
    Event,
    LaneKey,
    LaneState,
    Parked,
    ParkedState,
    Place,
    SequenceNumber,
    digest_of_id,
    key_parking_id,
)
from eventfabric.services.delivery.ahead import AttemptOutcome, attempt_ahead
from eventfabric.services.delivery.attempts import attempt
from eventfabric.services.delivery.context import VisitContext
from eventfabric.services.delivery.endings import Ended
from eventfabric.services.delivery.late import Lateness
from eventfabric.services.delivery.publishing_commits import publish_failed
from eventfabric.services.delivery.retry import CRASHED, Failed
from eventfabric.services.delivery.stretch import Stretch
from eventfabric.services.delivery.visited_lane import VisitedLane
from eventfabric.telemetry import LogEvent, Metric


class Visit(VisitedLane):
    """One visit to a lane: keys that are due, attempts, and what becomes of those that fail."""

    def __init__(
        self,
        context: VisitContext,
        key: LaneKey,
        state: LaneState,
        *,
        deadline_ms: int,
        came_again: bool,
        probes: bool,
        has_failed: bool = False,
        concurrency: int | None = None,
        ended: frozenset[int] = frozenset(),
    ) -> None:
        """`concurrency`: number of attempts at the same time; default the subscription's.

        `ended`: versions of the cursor at which all attempts are known to have ended, so an attempt noted there is no
        crash. If `came_again` is false, no note is a crash: a process that dies keeps its doorbell, which then comes
        before others. `has_failed`: the lane's last run ended with a call that failed.
        """
        super().__init__(context, key, state, deadline_ms=deadline_ms)
        assert self.cursor.base <= self.cursor.sequence, (
            "a cursor stands in the record that it names, or behind it"
        )
        # A probe may try any key that retries, due or not.
        self.parking.look_due(2**62 if probes else self._soon_ms)
        self.commits_first = context.commits_first
        self.noted_at = self._attempted_before()
        """At most once: the event that was attempted under the former guarantee, and must not be attempted again."""
        self.came_again = came_again
        # A process that dies keeps its doorbell. So a note tells of a crash only to a doorbell that came again.
        if came_again and self.cursor.version not in ended:
            self._count_crash()
        else:
            self._forget_attempts()
        self.began_as_probe = self.probes = probes
        self.careful = self._was_left()
        self._is_to_be_noted = (came_again or has_failed) and not self.careful
        self.lateness = Lateness(context, key, deadline_ms=deadline_ms)
        self.refuses_late = context.subscription.definition.on_late == "dead_letter"
        self.transactional = context.subscription.definition.guarantee.transactional
        self._concurrency = concurrency or context.subscription.definition.attempts_max
        self._opened = False

    @property
    def concurrency(self) -> int:
        """Number of attempts at the same time, as of now."""
        limiter = self._context.limiter
        return self._concurrency if limiter is None else limiter.share

    def _attempted_before(self) -> SequenceNumber | None:
        """Return the event of whose attempt, under the former guarantee, no outcome is known; None if there is none."""
        is_noted = self.commits_first and (self.cursor.attempting or self.cursor.crashes > 0)
        return self.cursor.sequence if is_noted else None

    def _count_crash(self) -> None:
        """Count an attempt that was begun and never heard of again."""
        if self.cursor.attempting:
            self.cursor = replace(self.cursor, attempting=False, crashes=self.cursor.crashes + 1)
            self.tell_crash(self.cursor.sequence, self.cursor.crashes)

    def _forget_attempts(self) -> None:
        """Take back the notes of attempts, which are known to have ended."""
        self.cursor = self.cursor.at_rest()
        # At most once, the note stays: it tells that its event was attempted, and must not be attempted again.
        if not self.commits_first:
            self.parking.forget_attempts()

    def _was_left(self) -> bool:
        """Tell if a run, or an attempt of it, was noted and never heard of again."""
        is_key_noted = any(parked.attempting for parked in self.parking.keys)
        return self.cursor.running or self.cursor.crashes > 0 or is_key_noted

    def note(self) -> Ended | None:
        """Note that a run begins, if its doorbell was received before: the cause may be a crash, or a throttle.

        Only if this run is never heard of again is it known that runs of the lane crash; then the next one goes
        carefully. After a run that ended with a failed call, the note shows if anything can be written by now. While
        nothing can, no event is attempted in vain, and no timer is set for a key that fails.
        """
        self.await_credit()
        if not self._is_to_be_noted:
            return None
        self._is_to_be_noted = False
        publish_failed(self._context, self.key, self.cursor, self.deadline_ms)
        return self.move(replace(self.cursor, running=True))

    def rest(self) -> None:
        """Note that the run has ended, if no commit has done so."""
        if self.cursor.running:
            self.commit(self.cursor.at_rest())  # if this loses a race, another run has moved the cursor

    def due(self) -> list[Parked]:
        """Return the keys to be tried again now, in the order of their events.

        A probe may try any key that retries, beginning with the one whose last try is the longest ago. Otherwise all
        probes might go to one poison key.
        """
        now_ms = self._soon_ms
        due_keys = [
            parked
            for parked in self.parking.keys
            if parked.is_due(2**62 if self.probes or parked.attempting else now_ms)
        ]
        # A key that was being attempted when a process died comes first. No other crash may be blamed on it.
        due_keys.sort(
            key=lambda parked: (parked.failure.last_ms if self.probes else 0, parked.first.sequence)
        )
        return sorted(due_keys, key=lambda parked: not parked.attempting)

    @property
    def _soon_ms(self) -> int:
        """Time until which keys count as due, since timers may come a little early; in milliseconds since 1970."""
        return self._context.clock.now_ms() + limits.TIMER_EARLY_MILLISECONDS

    def look_ahead(self, stretch: Stretch) -> None:
        """Read, in one go, the parked keys that the events of a stretch may belong to."""
        if self.cursor.roster.count:
            parking_ids = {
                self._context.policy.parking_id(key, stretch.place(index))
                for index, key in enumerate(stretch.keys)
            }
            self.parking.look(digest_of_id(parking_id) for parking_id in sorted(parking_ids))

    def dropped(self, events: int) -> None:
        """Count events that were committed and are not attempted (again)."""
        self._context.telemetry.add(Metric.EVENTS_DROPPED, events)

    @property
    def attempts_that_fit(self) -> int:
        """Number of attempts that surely fit into the time left to the invocation."""
        return self._context.pace.room_for(self.deadline_ms)

    def attempt(
        self,
        events: Sequence[Event],
        *,
        again: Callable[[], Sequence[Event]],
        replay: bool,
        attempts: int = 0,
        tries: int | None = None,
        edit: str = "",
    ) -> AttemptOutcome:
        """Return the handler's effects, or the outcome of its tries, after `attempts` that failed before.

        `again`: makes the same events anew for another try.
        """
        # Several tries in a row are for a fresh event. One that was parked has
        # had its pause, and a probe is to cost a system that ails one call.
        most = tries or (1 if self.probes or attempts else self._context.policy.tries_at_once)
        return attempt(
            self._context,
            events,
            again=again,
            most=most,
            attempts=attempts,
            replay=replay,
            deadline_ms=self.deadline_ms,
            epoch=self.cursor.epoch,
            edit=edit,
        )

    def attempt_ahead(
        self, stretch: Stretch, indices: Iterable[int], *, tries: int | None = None, on_failure: bool = False
    ) -> dict[int, AttemptOutcome]:
        """Attempt events of different keys at the same time. Return the outcomes; none if events must go one by one."""
        # Side by side, nobody could tell whose crash it was, and a probe
        # would be several. A late event may go to a function of its own.
        if self.concurrency == 1 or self.batch_events_max > 1 or self.careful or self.probes or stretch.late:
            return {}
        limiter, side_by_side = self._context.limiter, self._context.side_by_side
        return attempt_ahead(
            {
                index: self._context.policy.parking_id(stretch.keys[index], stretch.place(index))
                for index in indices
            },
            lambda index: self.attempt(
                [stretch.events[index]],
                again=partial(stretch.again, index),
                tries=tries,
                replay=stretch.replay,
            ),
            side_by_side if limiter is None else partial(limiter.run, side_by_side=side_by_side),
            on_failure=on_failure,
        )

    def park(
        self,
        event: Event,
        place: Place,
        failed: Failed,
        *,
        already_parked: Parked | None = None,
        handled_beside: int = 0,
    ) -> bool:
        """Set the event's key aside, or keep it parked. Tell if the lane is to wait, because its circuit is open.

        `handled_beside`: number of events that were handled and are not committed yet. ParkedFullError.
        """
        context, now_ms = self._context, self._context.clock.now_ms()
        before = self.parking.get(
            already_parked.id if already_parked else context.policy.parking_id(event.key, place)
        )
        count = self.parking.count
        # The cursor names every key, and a new owner copies each of them: so
        # their number has a bound, and a lane beyond it waits for a person.
        if before is None and count >= limits.PARKED_KEYS_MAX:
            raise ParkedFullError(f"lane {self.key.lane} has parked {count} keys")
        excused = before is not None and context.breaker.circuit().excuses(before.failure.last_ms)
        parked = context.policy.park(event, place, failed, before, now_ms=now_ms, excused=excused)
        if parked.state is ParkedState.RETRYING:
            if self.probes:
                # An outage is to blame, as far as is known. Parked, so that the next probe tries another key.
                self._opened = True
            else:
                parked = self._judged(parked, before is None, handled_beside)
        self.parking.set(parked)
        return self._opened

    def _judged(self, parked: Parked, newly: bool, handled_beside: int) -> Parked:
        """Return the key dead if its attempts are used up, unless that looks like an outage. May open the circuit."""
        policy, breaker = self._context.policy, self._context.breaker
        if not policy.is_used_up(parked):
            # A key that fails again is already among those that retry.
            parked_keys = self.parking.retrying + 1 if newly else 0
            self._opened = breaker.failed(self.key.lane, parked.id, parked_keys, handled_beside)
        elif breaker.suspects_outage(parked.failure.first_ms):
            self._opened = breaker.open_for(f"nothing succeeds; last {parked.failure.error_type}")
        else:
            return policy.used_up(parked)
        return parked

    def wait(self, parked: Parked, place: Place) -> None:
        """Have one more event wait in a parked key.

        If the key says so already, it may have been read as it was before the cursor was written. Then it is written
        all the same, once, because only the write shows that. Meanwhile a replay may have taken the event out of it, or
        it may list by now what the log had of it.
        """
        joined = parked.joined_by(place, replay_until=self.cursor.replay_until)
        if joined is not parked:
            self.parking.set(joined)
        else:
            self.parking.refresh(joined)

    def tell_crash(self, sequence: SequenceNumber, crashes: int) -> None:
        """Count and log an attempt that was begun and never heard of again."""
        self._context.telemetry.add(Metric.EVENTS_CRASHED)
        self._context.telemetry.tell(
            LogEvent.EVENT_CRASHED, lane=str(self.key.lane), sequence=sequence, crashes=crashes
        )

    def handled(self, events: int, oldest_ms: int | None = None) -> None:
        """Count events that were handled and are committed. The oldest was appended at `oldest_ms`."""
        if not events:
            return
        context = self._context
        context.telemetry.add(Metric.EVENTS_HANDLED, events)
        if oldest_ms is not None:
            context.tell_latency(oldest_ms)
        if not self._opened:
            context.breaker.handled(events)
            self.probes = False

    @property
    def batch_events_max(self) -> int:
        """Number of events that the handler takes at once."""
        return self._context.handler.batch_events_max

    def parked_with(self, key: str, place: Place) -> Parked | None:
        """Return the parked key in which an event has to wait."""
        parking = self.parking
        parked = parking.get(self._context.policy.parking_id(key, place))
        if parked is None and not self._context.policy.keeps_order:
            # If the key was parked while order was kept, its events in the log up to the cursor wait there.
            by_key = parking.get(key_parking_id(key))
            return by_key if by_key is not None and by_key.rest is not None else None
        if parked is None and not parking.is_empty:
            alone = parking.alone(key)
            return alone[-1] if alone else None
        return parked

    def crashes_at(self, sequence: SequenceNumber) -> int:
        """Return how often an attempt of that event alone was begun and never heard of again."""
        return self.cursor.crashes if self.cursor.sequence == sequence else 0

    def crashed(self, event: Event, place: Place, crashes: int) -> None:
        """Set the event aside, dead, because it crashed too often to be attempted again."""
        parking_id = self._context.policy.parking_id(event.key, place)
        self.bury(event.key, parking_id, place, kind=CRASHED, event=event, crashes=crashes)

    def bury(
        self,
        key: str,
        parking_id: str,
        place: Place,
        *,
        kind: str,
        before: Parked | None = None,
        event: Event | None = None,
        crashes: int = 0,
    ) -> None:
        """Leave a key dead, without a further attempt of its event."""
        now_ms = self._context.clock.now_ms()
        self.parking.set(
            self._context.policy.without_attempt(
                key, parking_id, place, before, event=event, kind=kind, crashes=crashes, now_ms=now_ms
            )
        )
