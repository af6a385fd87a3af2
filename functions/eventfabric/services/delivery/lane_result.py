"""How a lane run ended, and if its doorbell has served."""

from dataclasses import dataclass
from enum import Enum


class Outcome(Enum):
    """How a lane run ended."""

    DELIVERED = "delivered"
    DUPLICATE = "duplicate"
    NOT_OWNER = "not_owner"
    HOLE = "hole"
    NOT_BEGUN = "not_begun"
    """The subscription begins later than with what is in the log."""
    WAITING = "waiting"
    """The circuit is open, or the subscription paused: the lane is rung when that ends."""
    HANDED_BACK = "handed_back"
    """Out of time, or through the careful part: the lane was rung anew for the rest."""
    STOPPED = "stopped"
    CONTENDED = "contended"


@dataclass(frozen=True, slots=True)
class LaneResult:
    """How a lane run ended, and why where it must be said."""

    outcome: Outcome
    cause: BaseException | None = None

    @property
    def done(self) -> bool:
        """Tell if the doorbell has served; otherwise it must come again."""
        return self.outcome not in (Outcome.STOPPED, Outcome.CONTENDED)
