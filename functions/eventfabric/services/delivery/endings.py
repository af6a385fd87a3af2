"""Why a visit to a lane ends before its log does."""

from dataclasses import dataclass
from typing import Literal

from eventfabric.model.commit import RaceLost, SameItemTwice, WriteRefused
from eventfabric.services.delivery.retry import Failed, RefusedWriteError


@dataclass(frozen=True, slots=True)
class Stopped:
    """The lane cannot go on here."""

    cause: BaseException | None


OutOfTime = Literal["out of time"]
CircuitOpen = Literal["circuit open"]
Ended = RaceLost | Stopped | OutOfTime | CircuitOpen


def refusal(outcome: WriteRefused | SameItemTwice) -> Failed:
    """Take what refuses one event's writes for its handler's failure. A busy item is nobody's: it costs no attempt."""
    if isinstance(outcome, SameItemTwice):
        return Failed(RefusedWriteError("SameItemTwice", "two writes of one event touch one item"), 1)
    return Failed(RefusedWriteError(outcome.code, outcome.message), 0 if outcome.is_busy else 1)


def only_race(outcome: RaceLost | WriteRefused | SameItemTwice) -> RaceLost:
    """What refused a commit without writes: that can only be a lost race."""
    assert isinstance(outcome, RaceLost), "a commit without writes has none to refuse"
    return outcome
