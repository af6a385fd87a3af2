"""Endings: the reasons for which a visit to a lane ends before its log does."""

from dataclasses import dataclass

from eventfabric.model import RaceLost, SameItemTwice, WriteRefused
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


Ended = RaceLost | Stopped | OutOfTime | CarefulPartDone | CircuitOpen


def refusal(outcome: WriteRefused | SameItemTwice) -> Failed:
    """Turn the refusal of one event's writes into its handler's failure. A busy item costs no attempt."""
    if isinstance(outcome, SameItemTwice):
        return Failed(RefusedWriteError("SameItemTwice", "two writes of one event touch one item"), 1)
    # A hot row is nobody's fault: the same writes may well go through later.
    return Failed(RefusedWriteError(outcome.code, outcome.message), 0 if outcome.is_busy else 1)


def only_race(outcome: RaceLost | WriteRefused | SameItemTwice) -> RaceLost:
    """Return the lost race that refused a commit without writes; nothing else can refuse one."""
    assert isinstance(outcome, RaceLost), "a commit without writes has none to refuse"
    return outcome
