"""Lane result: the way in which a lane run ended, which tells if its doorbell has served."""

from dataclasses import dataclass
from enum import Enum


class LaneOutcome(Enum):
    """The way in which a lane run ended."""

    DELIVERED = "delivered"
    DUPLICATE = "duplicate"
    NOT_OWNER = "not_owner"
    HOLE = "hole"
    NOT_BEGUN = "not_begun"
    """The subscription begins later than everything that is in the log."""
    WAITING = "waiting"
    """The circuit is open, or the subscription paused: the lane is rung when that ends."""
    HANDED_BACK = "handed_back"
    """The time is up, or the careful part is done: the lane was rung anew for the rest."""
    STOPPED = "stopped"
    CONTENDED = "contended"


@dataclass(frozen=True, slots=True)
class LaneResult:
    """The outcome of a lane run, with its cause if that must be told."""

    outcome: LaneOutcome
    cause: BaseException | None = None

    @property
    def done(self) -> bool:
        """Tell if the doorbell has served; otherwise it must come again."""
        return self.outcome not in (LaneOutcome.STOPPED, LaneOutcome.CONTENDED)
