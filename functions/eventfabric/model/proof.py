"""Owns what a proof says of a lane: from where to where the log is what was handled, and with which exceptions."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from eventfabric.model.cursor import Cursor
from eventfabric.model.finding import Finding
from eventfabric.model.identity import Lane, Region, Sequence, StreamName, SubscriptionName

_NONE: Final = Sequence(0)


class ExceptionKind(StrEnum):
    """Why an event before the cursor was not handled as it stands in the log."""

    PARKED = "parked"
    """It failed, and will be tried again."""
    DEAD = "dead"
    """It failed for good, or as often as it may, and waits for somebody."""
    WAITING = "waiting"
    """It waits behind an earlier event of its key that is parked or dead."""
    REPLAYING = "replaying"
    """It was handed out before, and waits to be handed out again."""
    DISCARDED = "discarded"
    """Somebody dropped it."""
    EDITED = "edited"
    """Somebody had another event handled in its place."""
    ELSEWHERE = "elsewhere"
    """Its batch stands in another lane too, and that copy is the one that is delivered."""
    SKIPPED = "skipped"
    """It is lost for good, and an operator had the lane go on past it: nobody knows whether it was handled."""


@dataclass(frozen=True, slots=True)
class Exempt:
    """One event that the proof excepts, or `events` from there on that are lost.

    `event_id` and `key` are empty where its record has expired, or is lost.

    `at_ms`: when it failed last, was decided about, or has waited since, in milliseconds since 1970; 0: not known.
    `by`: who decided.
    """

    kind: ExceptionKind
    sequence: Sequence
    why: str
    at_ms: int
    event_id: str = ""
    key: str = field(default="", repr=False)
    by: str = ""
    events: int = 1


@dataclass(frozen=True, slots=True)
class ExemptRange:
    """Every event of a key from sequence `since` on and before `until`, as the log has them, each like `of`."""

    key: str = field(repr=False)
    since: Sequence
    until: Sequence
    of: Exempt


@dataclass(frozen=True, slots=True)
class LaneProof:
    """One subscription in one lane, as one Region sees it: handled exactly the log from `start` up to the cursor.

    `region`: whose cursor it is. `first`: 0 where the log is kept from its first event on. Else the end of the oldest
    record that is kept: nothing tells the chain before that one, so it is taken as it is, and all behind it is bound to
    it and to the cursor. `wrong`: why the log is not what was handled; None: it is, but for the exceptions.
    """

    stream: StreamName
    subscription: SubscriptionName
    lane: Lane
    region: Region
    cursor: Cursor
    first: Sequence
    exceptions: tuple[Exempt, ...] = ()
    wrong: Finding | None = None
    tail: Sequence = _NONE
    """Where the lane ended when the cursor was looked at."""
    waits_since_ms: int = 0
    """Since when the first event that waits is there, as far as is known; 0: none waits."""
    stuck: Finding | None = None
    """Why nothing can be delivered from the cursor on, where the log is in the way."""

    @property
    def is_proven(self) -> bool:
        """Whether the log is what was handled, as far as it is kept."""
        return self.wrong is None

    @property
    def waiting(self) -> int:
        """Events from the cursor on."""
        return max(0, self.tail - self.cursor.sequence)

    @property
    def start(self) -> Sequence:
        """The first event that is proven to have been handled: `first`, or where the subscription began in the lane.

        What stood before that was handed to nobody; it is bound by the same chain, and verified all the same.
        """
        return min(max(self.first, self.cursor.began), self.cursor.sequence)

    @property
    def events(self) -> int:
        """Events that are proven to have been handled, the exceptions among them, but for what was skipped."""
        return 0 if self.wrong else self.cursor.sequence - self.start - self.skipped

    @property
    def skipped(self) -> int:
        """Events before the cursor that are lost, past which an operator had the lane go on."""
        return sum(one.events for one in self.exceptions if one.kind is ExceptionKind.SKIPPED)
