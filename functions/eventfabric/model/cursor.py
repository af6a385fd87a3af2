"""The cursor: how far one subscription has come in one lane, with proof of what stands before it.

Around it: the state of the lane, of which it is a part, and the commits that move it, with their possible outcomes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from eventfabric.model.identity import (
    BatchId,
    Chain,
    Lane,
    Region,
    SequenceNumber,
    StreamName,
    SubscriptionName,
    next_count,
)
from eventfabric.model.parked import Parked, ParkedChange, Place, after_changes
from eventfabric.model.record import EMPTY_TAIL, Record
from eventfabric.model.roster import Roster, digest_after, digest_of

if TYPE_CHECKING:  # only subscriptions that hold producers back need it
    from eventfabric.model.credit import Account

_NEVER: Final = SequenceNumber(0)


@dataclass(frozen=True, slots=True)
class LaneKey:
    """Key of a lane's state: one subscription in one lane of one stream. `str(key)` is its stored form."""

    stream: StreamName
    subscription: SubscriptionName
    lane: Lane

    def __str__(self) -> str:
        return f"{self.stream}/{self.subscription}/{self.lane}"


@dataclass(frozen=True, slots=True)
class Passing:
    """Identity of one hand-over at a seal: the cursor that passed it, by the version at which that was written."""

    region: Region
    epoch: int
    version: int


@dataclass(frozen=True, slots=True)
class Cursor:
    """The NEXT sequence to deliver. Everything before it was handled, parked or filtered.

    `base` is the first sequence of the record that holds `sequence` (or `sequence` itself between records), and `chain`
    is the chain of the record before `base`. `version` counts the writes of the stored cursor, 0 for none yet; `epoch`
    is the owner's number. `attempting`: the event at `sequence` is being attempted by itself, after `crashes` earlier
    such attempts that never reported an outcome. `running`: a run whose doorbell had been received before began here;
    the note is removed when that run ends. `replay_until`: a replay is under way up to there. Its events from
    `replay_from` on are marked as replays: this subscription committed them once. `began` is the first sequence that
    was ever to be delivered: 0, unless the subscription began further on.
    """

    sequence: SequenceNumber
    base: SequenceNumber
    chain: Chain
    version: int = 0
    epoch: int = 0
    attempting: bool = False
    running: bool = False
    crashes: int = 0
    replay_until: SequenceNumber = _NEVER
    replay_from: SequenceNumber = _NEVER
    began: SequenceNumber = _NEVER
    low: Place | None = None
    """First event that waits in a parked key, if any does: every event before it was handled."""
    written_ms: int = field(default=0, compare=False)
    """Time of the write, in milliseconds since 1970. For reports; not part of what the cursor says."""
    parked: bytes = b""
    """Digest of the parked keys that stand beside it; empty if there are none."""
    roster: Roster = field(default_factory=Roster, compare=False)
    """Names of these keys, in a few bytes each. Each commit updates it."""
    credit: "Account | None" = field(default=None, compare=False)
    """Account of what producers may append to this lane, if they are held back. No commit is made for it alone."""
    is_announced: bool = field(default=False, compare=False)
    """In a stream without transactions: keys beside it were about to be written; only a read of all tells which."""
    begun: Passing | None = None
    """The passing that began this lane; None for a root, and for a child that nobody has begun."""
    past_seal: Passing | None = None
    """The passing by which this lane's children began: the lane has ended, and was delivered to its seal."""

    def beside(self, parked: Mapping[str, Parked]) -> "Cursor":
        """Return the cursor beside these parked keys (all of them), so that another Region can tell if it has them."""
        if not parked:
            return self if self.low is None else replace(self, low=None, parked=b"")
        low = min((key.first for key in parked.values()), key=lambda place: place.sequence)
        low = replace(low, replay=False)
        return replace(self, low=low, parked=digest_of(parked))

    def beside_after(
        self, read: "Cursor", stood: Mapping[str, Parked], changes: Sequence[ParkedChange] = ()
    ) -> "Cursor":
        """Return the cursor beside the keys that `stood` beside the one that was `read`, after changes to them.

        If fewer keys were seen than `read` names, the unseen ones still count: a read may have shown the cursor of a
        commit before its keys, and a key that is not counted would be lost to the Region that takes the lane over.
        """
        if read.low is not None and len(stood) < read.roster.count:
            return self.beside_changed(read, changes)
        return self.beside(after_changes(stood, changes))

    def beside_changed(self, read: "Cursor", changes: Sequence[ParkedChange]) -> "Cursor":
        """Return the cursor after changes to the keys beside `read`, by these alone; `read.low` is taken to stay."""
        firsts = [read.low] if read.low else []
        firsts += [change.after.first for change in changes if change.after is not None]
        low = min(firsts, key=lambda place: place.sequence)
        return replace(self, low=replace(low, replay=False), parked=digest_after(read.parked, changes))

    def at_rest(self) -> "Cursor":
        """Return the cursor without the note of a run or of an attempt."""
        return replace(self, attempting=False, running=False)

    @property
    def is_replaying(self) -> bool:
        """Tell if a replay is under way."""
        return self.sequence < self.replay_until

    @property
    def is_replay(self) -> bool:
        """Tell if the next event is marked as a replay."""
        return self.replay_from <= self.sequence < self.replay_until

    def replay_left(self, sequence: SequenceNumber) -> tuple[SequenceNumber, SequenceNumber]:
        """Return `replay_from` and `replay_until` of the cursor once it stands at a sequence."""
        return (self.replay_from, self.replay_until) if sequence < self.replay_until else (_NEVER, _NEVER)


START = Cursor(EMPTY_TAIL.sequence, EMPTY_TAIL.sequence, EMPTY_TAIL.chain)


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision of one Region, for one subscription, about a batch that may also stand in the lane beside whose
    state the decision is kept.

    `noted_wins`: the noted copy is delivered, and the copy in that lane is stepped over; otherwise the reverse. A
    Region decides once. `part`: the noted copy's lane, if that is not the first of its tree: the batch may have been
    cut in two there, and then this is decided about the one part alone.
    """

    region: Region
    batch_id: BatchId
    noted_wins: bool
    part: Lane | None = None


@dataclass(frozen=True, slots=True)
class LaneState:
    """All that the ledger knows of a lane for a subscription, as one read saw it: each Region's cursor, and its parked
    keys by their id.
    """

    cursors: dict[Region, Cursor]
    parked: dict[Region, dict[str, Parked]] = field(default_factory=dict)
    decisions: frozenset[Decision] = frozenset()
    """Decisions about batches whose noted copy stands in another lane."""
    is_whole: bool = True
    """True if it holds the parked keys; else only the rosters of their cursors were read."""

    def fits(self, region: Region) -> bool:
        """Tell if the parked keys of a Region are those that its cursor names, each at its version."""
        parked = self.parked.get(region)
        return (digest_of(parked) if parked else b"") == self.cursor(region).parked

    def cursor(self, region: Region) -> Cursor:
        """Return the cursor of a Region, or the start if it has none.

        Its roster names the keys that were read beside it, if they were, and also the keys that the stored cursor
        names but that were not seen. `cursors` has it as it is stored.
        """
        cursor, parked = self.cursors.get(region, START), self.parked.get(region)
        if not self.is_whole or not (parked or cursor.roster.count):
            return cursor
        return replace(cursor, roster=cursor.roster.naming(parked.values() if parked else ()))

    @property
    def is_announced(self) -> bool:
        """Tell if parked keys were about to be written beside any of the cursors."""
        return any(cursor.is_announced for cursor in self.cursors.values())

    @property
    def latest(self) -> Region | None:
        """The Region that came furthest as the latest owner; None if no Region began."""
        return max(
            self.cursors, key=lambda r: (self.cursors[r].epoch, self.cursors[r].sequence, r), default=None
        )

    @property
    def written_ms(self) -> int:
        """Time of the last write of a cursor, in milliseconds since 1970; 0: never."""
        return max((cursor.written_ms for cursor in self.cursors.values()), default=0)

    @property
    def won(self) -> frozenset[BatchId]:
        """Batches that are stepped over in this lane: their noted copy, in another lane, is delivered."""
        return self.won_by(None)

    def won_by(self, region: Region | None) -> frozenset[BatchId]:
        """Return the batches that are stepped over as a whole by the decisions of one Region; None: of all Regions."""
        return frozenset(batch_id for batch_id, part in self.parts_won_by(region) if part is None)

    def parts_won_by(self, region: Region | None) -> frozenset[tuple[BatchId, Lane | None]]:
        """Return the batches that are stepped over, each with the lane of the noted copy; see `Decision.part`."""
        counted = [decision for decision in self.decisions if region in (None, decision.region)]
        won = {(decision.batch_id, decision.part) for decision in counted if decision.noted_wins}
        # Two Regions that disagree did not know of each other. Then the copy here is delivered, at most twice.
        return frozenset(won - {(kept.batch_id, kept.part) for kept in counted if not kept.noted_wins})

    def is_decided(self, batch_id: BatchId, region: Region | None, part: Lane | None = None) -> bool:
        """Tell if that Region (None: any Region) decided about a batch, or about a part of it."""
        return any(
            (decision.batch_id, decision.part) == (batch_id, part) and region in (None, decision.region)
            for decision in self.decisions
        )

    @property
    def epoch(self) -> int:
        """Number of the latest owner."""
        return max((cursor.epoch for cursor in self.cursors.values()), default=0)


@dataclass(frozen=True, slots=True)
class Write:
    """One write of a handler's own transaction: `action` is Put, Update, Delete or ConditionCheck, and `request` is the
    DynamoDB request for it in the service's own JSON (TableName, Item or Key, expressions).
    """

    action: str
    request: dict[str, Any] = field(hash=False, repr=False)


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision about a noted batch that a commit writes. `key`: the lane in which the batch may also stand."""

    key: LaneKey
    decision: Decision
    expires_seconds: int
    """Time of expiry, in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class LaneChange:
    """A change of another lane's state that one commit makes beside its own, by the same subscription and Region.

    The other cursor has to be as it was `read`, and is replaced by `moved`, whose roster names the keys as they are
    afterwards.
    """

    key: LaneKey
    read: Cursor
    moved: Cursor
    parked: Sequence[ParkedChange] = ()

    @property
    def stored(self) -> Cursor:
        """The other cursor as the commit writes it."""
        return replace(self.moved, version=next_count(self.read.version))


@dataclass(frozen=True, slots=True)
class Committed:
    """The commit succeeded: the cursor stands where the commit put it."""

    cursor: Cursor


@dataclass(frozen=True, slots=True)
class RaceLost:
    """Another consumer moved the cursor first.

    `is_beside_written`: in a stream without transactions, everything that this commit writes beside the cursor is
    written; otherwise nothing of it is.
    """

    is_beside_written: bool = False


@dataclass(frozen=True, slots=True)
class WriteRefused:
    """Nothing was written, because DynamoDB refused the write at `index` (for example, its own condition failed).

    `item`: the item that is there, if the write asked for it. `is_busy`: the write was throttled or met another
    transaction, so the same commit may succeed later, and nobody is to blame.
    """

    index: int
    code: str
    message: str
    item: dict[str, dict[str, Any]] | None = field(default=None, compare=False, repr=False)
    is_busy: bool = False


@dataclass(frozen=True, slots=True)
class SameItemTwice:
    """Nothing was written: two writes of the commit touch one item, which a transaction does not allow."""


@dataclass(frozen=True, slots=True)
class Occupied:
    """Nothing was written: `record` occupies the place where the record at `index` was to go."""

    index: int
    record: Record


CommitOutcome = Committed | RaceLost | WriteRefused | SameItemTwice | Occupied
