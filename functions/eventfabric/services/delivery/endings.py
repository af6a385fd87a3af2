"""Why a visit to a lane ends before its log does."""

from dataclasses import dataclass
from typing import Literal

from eventfabric.model.commit import RaceLost, SameItemTwice, WriteRefused
from eventfabric.services.delivery.retry import RefusedWriteError


@dataclass(frozen=True, slots=True)
class Stopped:
    """The lane cannot go on here."""

    cause: BaseException | None


OutOfTime = Literal["out of time"]
CircuitOpen = Literal["circuit open"]
Ended = RaceLost | Stopped | OutOfTime | CircuitOpen


def refusal(outcome: WriteRefused | SameItemTwice) -> RefusedWriteError:
    """Why one event's writes cannot be committed, as its handler's failure."""
    if isinstance(outcome, SameItemTwice):
        return RefusedWriteError("SameItemTwice", "two writes of one event touch one item")
    return RefusedWriteError(outcome.code, outcome.message)


def only_race(outcome: RaceLost | WriteRefused | SameItemTwice) -> RaceLost:
    """What refused a commit without writes: that can only be a lost race."""
    assert isinstance(outcome, RaceLost), "a commit without writes has none to refuse"
    return outcome
