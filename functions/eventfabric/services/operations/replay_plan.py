"""Replay plan: what a replay does to each lane, made and checked before anything is done."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from eventfabric import limits
from eventfabric.errors import ReplayRefusedError
from eventfabric.model import (
    EMPTY_TAIL,
    AtSequence,
    Cursor,
    Lane,
    LaneChange,
    Parked,
    ParkedChange,
    SequenceNumber,
    Start,
    Tail,
)
from eventfabric.stream_topology import StreamTopology, SubscriptionTopology
from eventfabric.wire.commit_size import in_commits


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
    begins: Tail = EMPTY_TAIL
    """Tail with which the lane begins."""

    @property
    def waiting(self) -> dict[str, Parked]:
        """The parked keys that wait in the lane; none where its children have them."""
        return {} if self.read.past_seal is not None else self.parked


@dataclass(frozen=True, slots=True)
class Reach:
    """The part of a lane that may be replayed: its records end at `end`, and what comes again at `until`.

    `is_new`: none of it is marked as a replay.
    """

    end: Tail
    until: SequenceNumber
    is_new: bool

    def marks(self, start: SequenceNumber) -> tuple[SequenceNumber, SequenceNumber]:
        """Return from where on and up to where a replay from a sequence marks events; 0 and 0 if nothing comes again.

        A replay that marks nothing says so by two equal places, and is under way up to them all the same.
        """
        if self.until <= start:
            return SequenceNumber(0), SequenceNumber(0)
        return self.until if self.is_new else start, self.until


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
    beneath: tuple[LaneChange, ...] = ()
    """Changes of the lanes that were split off, if it goes back across its seal."""

    @property
    def changes_anything(self) -> bool:
        """Tell if there is anything to do."""
        return bool(self.changes) or self.to != self.read


@dataclass(frozen=True, slots=True)
class LaneReplayed:
    """The result of a replay for one lane. `rung`: the lane was rung; else its next doorbell starts the replay."""

    plan: LanePlan
    rung: bool


def check_target(source: SubscriptionTopology, into: SubscriptionTopology | None, *, publish: bool) -> None:
    """Refuse a replay that the definition does not allow."""
    target, stream = into or source, source.definition.stream
    if into is not None and into.name == source.name:
        raise ReplayRefusedError(f"{into.name} cannot be fed from itself: leave --into out to replay it")
    if target.definition.stream != stream:
        raise ReplayRefusedError(
            f"{target.name} is of stream {target.definition.stream}, {source.name} of {stream}: allowed: "
            "subscriptions of one stream"
        )
    if not target.definition.replay:
        raise ReplayRefusedError(f"{target.name} has replay = false in the definition")
    if publish and not target.definition.publishes:
        raise ReplayRefusedError(f"{target.name} publishes into no stream: leave --publish out")


def check_marks(lane: Lane, read: Cursor, parked: Iterable[Parked], start: SequenceNumber) -> None:
    """Refuse to mark events from `start` on as replays if some of them were never committed.

    A replay publishes nothing for the events that it marks, so what is to be published for these would be missing.
    """
    missing = "and what the handler has to publish for these events would not be published"
    held = sum(key.holds_new(start, read.sequence) for key in parked)
    if held:
        raise ReplayRefusedError(
            f"{held} parked keys of lane {lane} hold events from sequence {start} on, {missing}: redrive or discard "
            "them first, or replay from later on, or with --publish"
        )
    if read.is_replaying and not read.is_replay:
        raise ReplayRefusedError(
            f"lane {lane} is at {read.sequence} of events up to {max(read.replay_from, read.sequence)} that are "
            f"published, {missing}: wait until it is past them, or replay with --publish"
        )


def check_key(asked: ReplayRequest, plans: Sequence[LanePlan]) -> None:
    """Refuse a key of which plans that change nothing found no events."""
    if asked.key is not None:
        looked_at = ", ".join(f"lane {plan.lane} up to {plan.read.sequence}" for plan in plans)
        raise ReplayRefusedError(
            f"key {asked.key!r} has no delivered events from {asked.start} on: looked at {looked_at}"
        )


def check_reached(start: AtSequence, plans: Sequence[LanePlan], tails: Sequence[SequenceNumber]) -> None:
    """Refuse a sequence that none of the plans' lanes, which end at `tails`, has come to."""
    furthest = max(range(len(plans)), key=tails.__getitem__)
    if start.sequence > tails[furthest]:
        raise ReplayRefusedError(
            f"{start} is beyond the tail: lane {plans[furthest].lane} ends at {tails[furthest]}"
            + (", no other further on" if len(plans) > 1 else "")
        )


def check_changes(stream: StreamTopology, lane: Lane, changes: Sequence[ParkedChange], what: str) -> None:
    """Refuse changes of parked keys that one commit of the stream cannot make. `what`: why they are made."""
    commits = list(in_commits(changes))
    if len(commits) > 1:
        raise ReplayRefusedError(
            f"{len(changes)} parked keys of lane {lane} {what}, and one commit takes {len(commits[0])}: redrive or "
            "discard some first, or replay less"
        )
    drops = any(change.before for change in changes)
    if drops and stream.definition.durability == "quorum":
        raise ReplayRefusedError(
            f"{len(changes)} parked keys of lane {lane} {what}, and a quorum stream has no transactions to move "
            "them: redrive or discard them first, or replay from later on"
        )


def check_tree(lane: Lane, changes: Sequence[ParkedChange], beneath: Sequence[Lane]) -> None:
    """Refuse a replay across the seal of a lane that one transaction cannot hold. `beneath`: the lanes beneath it."""
    cursors = 1 + len(beneath)
    if cursors >= limits.TRANSACTION_ACTIONS_MAX or len(list(in_commits(changes, cursors=cursors))) > 1:
        raise ReplayRefusedError(
            f"lane {lane} was split, and to replay across its seal changes {cursors} lanes and {len(changes)} parked "
            f"keys together, allowed: {limits.TRANSACTION_ACTIONS_MAX - 1} in all: replay lanes beneath it, by --lane, "
            "or redrive or discard some keys first"
        )
