"""Replay plan: what a replay does to each lane, made before anything is done."""

from dataclasses import dataclass, field

from eventfabric.model.cursor import Cursor
from eventfabric.model.identity import Lane, SequenceNumber
from eventfabric.model.parked import Parked, ParkedChange
from eventfabric.model.record import Tail
from eventfabric.model.start import Start


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """The request of a replay. `fresh`: the subscription that is fed has no cursor in any of the lanes."""

    start: Start
    key: str | None = field(repr=False)
    fresh: bool


@dataclass(frozen=True, slots=True)
class LaneView:
    """The state of a lane as it was read. `fed_until`: the cursor of the subscription that it is fed from, or 0."""

    read: Cursor
    parked: dict[str, Parked]
    fed_until: SequenceNumber
    is_taken_over: bool = True
    """False: the lane was handed over to this Region, and it does not go on from the state that stands here."""


@dataclass(frozen=True, slots=True)
class Reach:
    """The part of a lane that may be replayed: its records end at `end`, and what comes again at `until`."""

    end: Tail
    until: SequenceNumber


@dataclass(frozen=True, slots=True)
class LanePlan:
    """The plan of a replay for one lane: its cursor goes from `read` to `to`, and parked keys change with it.

    `events`: how many are handed out again. `unreadable`: why the lane is left as it is, if it cannot be read.
    """

    asked: ReplayRequest
    lane: Lane
    read: Cursor
    to: Cursor
    changes: tuple[ParkedChange, ...] = ()
    events: int = 0
    unreadable: str = ""

    @property
    def changes_anything(self) -> bool:
        """Tell if there is anything to do."""
        return bool(self.changes) or self.to != self.read


@dataclass(frozen=True, slots=True)
class LaneReplayed:
    """The result of a replay for one lane. `rung`: the lane was rung; else its next doorbell starts the replay."""

    plan: LanePlan
    rung: bool
