"""Endings: the reasons for which a visit to a lane ends before its log does."""

from dataclasses import dataclass

from eventfabric.errors import OnceConflictError
from eventfabric.model import CommitOutcome, RaceLost, SameItemTwice, WriteRefused
from eventfabric.services.delivery.retry import Failed, RefusedWriteError


@dataclass(frozen=True, slots=True)
class Stopped:
    """The lane cannot go on here."""

    cause: BaseException | None


@dataclass(frozen=True, slots=True)
class OutOfTime:
    """No further attempt fits into the time left to the invocation: the lane is rung anew for the rest."""


@dataclass(frozen=True, slots=True)
class CarefulPartDone:
    """An event crashed too often and is set aside. A new doorbell goes on, and it alone counts the next crash."""


@dataclass(frozen=True, slots=True)
class CircuitOpen:
    """The circuit has opened: the lane waits for a probe."""


@dataclass(frozen=True, slots=True)
class PublishRefused:
    """Nothing was committed: an event of that id was published before, with other content."""

    error: OnceConflictError


Refused = WriteRefused | SameItemTwice | PublishRefused
"""Refusals of a commit for the sake of a handler's effects."""

Ended = RaceLost | Stopped | OutOfTime | CarefulPartDone | CircuitOpen


def refusal(outcome: Refused) -> Failed:
    """Turn the refusal of one event's effects into its handler's failure. A busy item costs no attempt."""
    if isinstance(outcome, PublishRefused):
        return Failed(outcome.error, 1)
    if isinstance(outcome, SameItemTwice):
        return Failed(RefusedWriteError("SameItemTwice", "two writes of one event touch one item"), 1)
    # A hot row is nobody's fault: the same writes may well go through later.
    return Failed(RefusedWriteError(outcome.code, outcome.message), 0 if outcome.is_busy else 1)


def only_race(outcome: CommitOutcome | Refused) -> RaceLost:
    """Return the lost race that refused a commit without writes; nothing else can refuse one."""
    assert isinstance(outcome, RaceLost), "a commit without writes has none to refuse"
    return outcome
