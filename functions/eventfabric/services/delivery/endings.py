"""Why a visit to a lane ends before its log does."""

from dataclasses import dataclass

from eventfabric.model.commit import RaceLost, SameItemTwice, WriteRefused
from eventfabric.services.delivery.retry import Failed, RefusedWriteError


@dataclass(frozen=True, slots=True)
class Stopped:
    """The lane cannot go on here."""

    cause: BaseException | None


@dataclass(frozen=True, slots=True)
class OutOfTime:
    """No further attempt fits into what is left of the invocation: the lane is rung anew for the rest."""


@dataclass(frozen=True, slots=True)
class CarefulPartDone:
    """An event crashed too often and is set aside: the next crash is to be counted by a doorbell of its own."""


@dataclass(frozen=True, slots=True)
class CircuitOpen:
    """The circuit has opened: the lane waits for a probe."""


Ended = RaceLost | Stopped | OutOfTime | CarefulPartDone | CircuitOpen


def refusal(outcome: WriteRefused | SameItemTwice) -> Failed:
    """Take what refuses one event's writes for its handler's failure. A busy item is nobody's: it costs no attempt."""
    if isinstance(outcome, SameItemTwice):
        return Failed(RefusedWriteError("SameItemTwice", "two writes of one event touch one item"), 1)
    return Failed(RefusedWriteError(outcome.code, outcome.message), 0 if outcome.is_busy else 1)


def only_race(outcome: RaceLost | WriteRefused | SameItemTwice) -> RaceLost:
    """What refused a commit without writes: that can only be a lost race."""
    assert isinstance(outcome, RaceLost), "a commit without writes has none to refuse"
    return outcome
