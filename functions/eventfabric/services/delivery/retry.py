"""Retry: decide what a failed attempt means for its event, by its subscription's policy. Writes nothing."""

from dataclasses import dataclass, replace
from typing import Self

from eventfabric import limits
from eventfabric.definition.schema import Subscription
from eventfabric.errors import (
    HandlerError,
    LateEventError,
    NoTransactionsError,
    OnceConflictError,
    UndecodablePayloadError,
    UnknownStepError,
    UpcastError,
)
from eventfabric.model import (
    Event,
    Failure,
    Parked,
    ParkedState,
    Place,
    event_parking_id,
    key_parking_id,
)
from eventfabric.ports import Entropy
from eventfabric.services.delivery.raised import is_of, kinds_of, raised_by

_VERSION_BYTES = 6
CRASHED = "Crashed"
EXPIRED = "RecordExpired"
_MISUSES = (HandlerError, NoTransactionsError)
_PERMANENT = (UndecodablePayloadError, *_MISUSES, LateEventError, OnceConflictError)
_DECLARED = "declared permanent, or of a type that the handler cannot take: edit it or discard it"
_MISUSED = "the handler does what its subscription does not allow, as the message says: mend it, deploy, then redrive"
_UNKNOWN = "find out whether the effect happened, say so with `eventfabric steps settle`, then redrive"
_NOT_UPCAST = "an upcaster failed or is missing, as the message says: mend it, deploy, then redrive"
_LATE = "one of its key that was published later is handled: compare them, then redrive or discard this one"
_CONFLICT = (
    "its handler published something else for it before: make it publish the same each time, or name it anew"
)
_HINTS = {
    CRASHED: "the process died or hung while this event alone was being attempted: look at memory and time-outs",
    EXPIRED: "its record is no longer in the log: discard it",
}


class RefusedWriteError(Exception):
    """DynamoDB refused a write of the handler's transaction. It counts as if the handler had raised this itself."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(f"{code}: {message}" if message else code)


@dataclass(frozen=True, slots=True)
class Failed:
    """Attempts in a row that failed, and what the last one raised. No tries: the failure is not the event's doing."""

    error: BaseException
    tries: int


@dataclass(frozen=True, slots=True)
class _EventFacts:
    """The facts that a failure keeps of its event, so that people find it without reading the log."""

    trace_id: str = ""
    event_id: str = ""
    event_type: str = ""

    @classmethod
    def of(cls, event: Event) -> Self:
        """Return the facts of an event."""
        return cls(str(event.headers.get("traceparent", "")), event.id or "", event.type)

    @classmethod
    def known(cls, parked: Parked | None) -> Self:
        """Return the facts that a parked key has of its first event, whose record is gone."""
        if parked is None:
            return cls()
        return cls(parked.failure.trace_id, parked.failure.event_id, parked.failure.event_type)


def parking_id(definition: Subscription, key: str, place: Place) -> str:
    """Return the id under which events wait together: the key's, or if no order is kept the event's own."""
    return key_parking_id(key) if definition.order == "key" else event_parking_id(place.sequence)


def is_declared_permanent(definition: Subscription, error: BaseException) -> bool:
    """Tell if the subscription names the error's type, or a base class of it, as permanent."""
    return not kinds_of(error).isdisjoint(definition.retry.permanent)


class RetryPolicy:
    """The retry rules of one subscription."""

    def __init__(self, definition: Subscription, *, entropy: Entropy, code_version: str = "") -> None:
        self._retry = definition.retry
        self._definition = definition
        self.entropy = entropy
        self._code_version = code_version
        self.keeps_order = definition.order == "key"
        self.tries_at_once = min(1 + definition.retry.immediate, definition.retry.attempts)

    def parking_id(self, key: str, place: Place) -> str:
        """Return the id under which events wait together: the key's, or if no order is kept the event's own."""
        return parking_id(self._definition, key, place)

    def is_permanent(self, error: BaseException) -> bool:
        """Tell if no further attempt can help: the subscription says so, or the handler cannot take the event."""
        return is_of(error, _PERMANENT) or is_declared_permanent(self._definition, error)

    def is_used_up(self, parked: Parked) -> bool:
        """Tell if the first event has had all its attempts."""
        return parked.failure.attempts >= self._retry.attempts

    def park(
        self, event: Event, place: Place, failed: Failed, before: Parked | None, *, now_ms: int, excused: bool
    ) -> Parked:
        """Return the key after its first event failed (again). It is dead if no further attempt is due to it.

        `excused`: its earlier failures were an outage's fault, and count for nothing.
        """
        history, raised, facts = _history(before, now_ms), raised_by(failed.error), _EventFacts.of(event)
        # `first_ms` begins anew with the first try that counts, because an outage is judged from there.
        is_first = failed.tries > 0 and not _is_counted(history)
        failure = Failure(
            error_type=raised.error_type,
            message=raised.message,
            trace=raised.trace,
            hint="",
            attempts=failed.tries + (0 if excused else history.attempts),
            crashes=history.crashes,
            first_ms=now_ms if is_first else history.first_ms,
            last_ms=now_ms,
            code_version=self._code_version,
            trace_id=facts.trace_id,
            event_id=facts.event_id,
            event_type=facts.event_type,
            step=raised.step,
        )
        due_ms = now_ms + self._wait_ms(failed, failure)
        parked = replace(
            # A key that stands keeps its id, which the subscription may
            # have given it while it kept another order.
            before or self._newly_parked(self.parking_id(event.key, place), place, failure),
            key=event.key,
            state=ParkedState.RETRYING,
            due_ms=due_ms,
            failure=failure,
            attempting=False,
        )
        return dead(parked, _hint_of(failed.error)) if self.is_permanent(failed.error) else parked

    def _newly_parked(self, parking_id: str, place: Place, failure: Failure) -> Parked:
        """Return the parked key of an event that is the first to wait there."""
        version = first_version(self.entropy)
        return Parked(parking_id, "", ParkedState.RETRYING, (place,), 0, failure, version=version)

    def used_up(self, parked: Parked) -> Parked:
        """Return the key dead, because its attempts are used up."""
        seconds = (parked.failure.last_ms - parked.failure.first_ms) / 1000
        return dead(
            parked, f"failed {parked.failure.attempts} times in {seconds:.0f} s: mend the cause, then redrive"
        )

    def without_attempt(
        self,
        event_key: str,
        parking_id: str,
        place: Place,
        before: Parked | None,
        *,
        event: Event | None,
        kind: str,
        crashes: int,
        now_ms: int,
    ) -> Parked:
        """Return the key dead without a run of its event: it crashed too often, or its record is gone (no `event`)."""
        history, facts = (
            _history(before, now_ms),
            _EventFacts.of(event) if event else _EventFacts.known(before),
        )
        failure = Failure(
            error_type=kind,
            message=f"{crashes} attempts of it alone were never heard of again" if crashes else _HINTS[kind],
            # If it only crashed, the trace is that of an event which failed before it.
            trace=history.trace if history.attempts else "",
            hint=_HINTS[kind],
            attempts=history.attempts,
            crashes=crashes,
            first_ms=history.first_ms,
            last_ms=now_ms,
            code_version=self._code_version,
            trace_id=facts.trace_id,
            event_id=facts.event_id,
            event_type=facts.event_type,
        )
        return replace(
            before or self._newly_parked(parking_id, place, failure),
            id=parking_id,
            key=event_key,
            state=ParkedState.DEAD,
            due_ms=0,
            failure=failure,
            attempting=False,
        )

    def _wait_ms(self, failed: Failed, failure: Failure) -> int:
        """Return the wait before the next attempt, in milliseconds: exponential, with full jitter.

        See https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/. A failure that is not the event's
        doing, as while a service is away, counts no attempt. Then the wait grows with the time for which that has
        lasted, but never beyond that of a lane that meets the same failure.
        """
        doublings = max(0, failure.attempts - self.tries_at_once)
        seconds = self._retry.backoff_seconds * 2.0 ** min(doublings, 32)
        # Attempts that do not count add no doubling: the key would be tried every second, for hours.
        if not failed.tries:
            lasts_seconds = (failure.last_ms - failure.first_ms) / 1000
            seconds = max(seconds, min(lasts_seconds / 4, limits.LANE_AGAIN_SECONDS_MAX))
        most = min(self._retry.backoff_max_seconds, seconds)
        return max(1, round(1000 * most * self.entropy.fraction()))


def first_version(entropy: Entropy) -> int:
    """Return the number from which a newly parked key counts its writes. No other parking of the key begins with it."""
    # A process that stood still must not take a key that was freed and parked again for the one that it read.
    return int.from_bytes(entropy.bytes(_VERSION_BYTES), "big")


def _history(before: Parked | None, now_ms: int) -> Failure:
    """Return the failures of the first event so far: none, from now on, if it had none since it became the first.

    An attempt that was not the event's doing is not counted, but still tells since when the event fails.
    """
    if before is None or not (before.failure.event_id or _is_counted(before.failure)):
        return Failure("", "", "", "", attempts=0, crashes=0, first_ms=now_ms, last_ms=now_ms)
    return before.failure


def _is_counted(failure: Failure) -> bool:
    return failure.attempts > 0 or failure.crashes > 0


def _hint_of(error: BaseException) -> str:
    if is_of(error, LateEventError):
        return _LATE
    if is_of(error, OnceConflictError):
        return _CONFLICT
    if is_of(error, UnknownStepError):
        return _UNKNOWN
    if is_of(error, UpcastError):
        return _NOT_UPCAST
    return _MISUSED if is_of(error, _MISUSES) else _DECLARED


def dead(parked: Parked, hint: str) -> Parked:
    """Return the key as dead: it waits for a person from now on."""
    return replace(parked, state=ParkedState.DEAD, due_ms=0, failure=replace(parked.failure, hint=hint))
