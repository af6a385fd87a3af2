"""Owns the cursor: how far one subscription has come in one lane, with proof of what lies behind it."""

from collections.abc import Iterable, Mapping
from collections.abc import Sequence as Sequenced
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Final

from eventfabric.model.decision import Decision
from eventfabric.model.identity import BatchId, Chain, Lane, Region, Sequence, StreamName, SubscriptionName
from eventfabric.model.parked import Parked, ParkedChange, Place, after_changes
from eventfabric.model.record import EMPTY_TAIL
from eventfabric.model.roster import Roster

_DIGEST_BYTES: Final = 8
_NEVER: Final = Sequence(0)


@dataclass(frozen=True, slots=True)
class LaneKey:
    """Whose state: one subscription in one lane of one stream. `str(key)` is its stored form."""

    stream: StreamName
    subscription: SubscriptionName
    lane: Lane

    def __str__(self) -> str:
        return f"{self.stream}/{self.subscription}/{self.lane}"


@dataclass(frozen=True, slots=True)
class Cursor:
    """The NEXT sequence to deliver. Everything before it was handled, parked or filtered.

    `base` is the first sequence of the record that holds `sequence` (or `sequence` itself between records), `chain`
    the chain of the record before `base`. `version` counts the writes of the stored cursor, 0 for none yet; `epoch`
    is the owner's number. `attempting`: the event at `sequence` is being attempted by itself, after `crashes` earlier
    attempts of it by itself of which nothing was heard. `running`: a run whose doorbell had been received before began
    here; it ended if nothing says so any more. Events before `replay_until` are replays: they were handed out
    before, to this subscription or to the one that it is fed from. `began` is the first sequence that was ever to be
    delivered: 0, unless the subscription began further on.
    """

    sequence: Sequence
    base: Sequence
    chain: Chain
    version: int = 0
    epoch: int = 0
    attempting: bool = False
    running: bool = False
    crashes: int = 0
    replay_until: Sequence = _NEVER
    began: Sequence = _NEVER
    low: Place | None = None
    """The first event that waits in a parked key, where one does: every event before it was handled."""
    written_ms: int = field(default=0, compare=False)
    """When it was written, milliseconds since 1970; a report, not part of what it says."""
    parked: bytes = b""
    """Digest of the parked keys that stand beside it, empty where there is none."""
    roster: Roster = field(default_factory=Roster, compare=False)
    """Which these are, in a few bytes each; a commit brings it up to date."""
    is_announced: bool = field(default=False, compare=False)
    """Of a stream without transactions: keys beside it were about to be written. Only all of them tell which were."""

    def beside(self, parked: Mapping[str, Parked]) -> "Cursor":
        """The cursor with what tells another Region whether it has these parked keys, all of them, as they are."""
        if not parked:
            return self if self.low is None else replace(self, low=None, parked=b"")
        low = min((key.first for key in parked.values()), key=lambda place: place.sequence)
        low = replace(low, replay=False)
        return replace(self, low=low, parked=digest_of(parked))

    def beside_after(
        self, read: "Cursor", stood: Mapping[str, Parked], changes: Sequenced[ParkedChange] = ()
    ) -> "Cursor":
        """The cursor beside the keys that `stood` beside the one that was `read`, after changes of them.

        Where fewer were seen than that one names, the others count as they did: a read may have shown the cursor of a
        commit before its keys, and what is not counted would be lost to the Region that takes the lane over.
        """
        if read.low is not None and len(stood) < read.roster.count:
            return self.beside_changed(read, changes)
        return self.beside(after_changes(stood, changes))

    def beside_changed(self, read: "Cursor", changes: Iterable[ParkedChange]) -> "Cursor":
        """The same by what changes of the keys beside the cursor that was `read`, whose first waiting event stays."""
        total, firsts = int.from_bytes(read.parked, "big"), [read.low] if read.low else []
        for change in changes:
            if change.before is not None:
                total -= _number_of(change.before)
            if change.after is not None:
                total += _number_of(replace(change.after, version=change.version))
                firsts.append(change.after.first)
        low = min(firsts, key=lambda place: place.sequence)
        return replace(self, low=replace(low, replay=False), parked=_bytes_of(total))

    def at_rest(self) -> "Cursor":
        """The cursor without the note of a run, or of an attempt."""
        return replace(self, attempting=False, running=False)

    @property
    def is_replay(self) -> bool:
        """Whether the next event is a replay."""
        return self.sequence < self.replay_until


START = Cursor(EMPTY_TAIL.sequence, EMPTY_TAIL.sequence, EMPTY_TAIL.chain)


@dataclass(frozen=True, slots=True)
class LaneState:
    """All that the ledger knows of a lane for a subscription, as one read saw it: each Region's cursor, and its parked
    keys by their id.
    """

    cursors: dict[Region, Cursor]
    parked: dict[Region, dict[str, Parked]] = field(default_factory=dict)
    decisions: frozenset[Decision] = frozenset()
    """About batches whose noted copy stands in another lane."""
    is_whole: bool = True
    """Whether it holds the parked keys; else only their cursors' rosters were read."""

    def fits(self, region: Region) -> bool:
        """Tell whether the parked keys of a Region are those that its cursor names, each at its version."""
        parked = self.parked.get(region)
        return (digest_of(parked) if parked else b"") == self.cursor(region).parked

    def cursor(self, region: Region) -> Cursor:
        """The cursor of a Region, or the start where it has none.

        Its roster names the keys that were read beside it, where they were, and those that it names and were not seen;
        `cursors` has it as it is stored.
        """
        cursor, parked = self.cursors.get(region, START), self.parked.get(region)
        if not self.is_whole or not (parked or cursor.roster.count):
            return cursor
        return replace(cursor, roster=cursor.roster.naming(parked.values() if parked else ()))

    @property
    def is_announced(self) -> bool:
        """Whether a cursor stands where parked keys were about to be written beside it."""
        return any(cursor.is_announced for cursor in self.cursors.values())

    @property
    def latest(self) -> Region | None:
        """The Region that came furthest as the latest owner; None where nobody began."""
        return max(
            self.cursors, key=lambda r: (self.cursors[r].epoch, self.cursors[r].sequence, r), default=None
        )

    @property
    def written_ms(self) -> int:
        """When a cursor was written last, in milliseconds since 1970; 0: never."""
        return max((cursor.written_ms for cursor in self.cursors.values()), default=0)

    @property
    def won(self) -> frozenset[BatchId]:
        """Batches that are stepped over in this lane: their noted copy, in another, is the one that is delivered."""
        return self.won_by(None)

    def won_by(self, region: Region | None) -> frozenset[BatchId]:
        """The same, by the decisions of one Region; None: of all."""
        counted = [one for one in self.decisions if region in (None, one.region)]
        kept = {one.batch_id for one in counted if not one.noted_wins}
        # Two that disagree did not know of each other. Then what stands here is delivered: twice at most, never not.
        return frozenset(one.batch_id for one in counted if one.noted_wins and one.batch_id not in kept)

    def is_decided(self, batch_id: BatchId, region: Region | None) -> bool:
        """Whether that Region (None: any) decided about a batch."""
        return any(one.batch_id == batch_id and region in (None, one.region) for one in self.decisions)

    @property
    def epoch(self) -> int:
        """The latest owner's number."""
        return max((cursor.epoch for cursor in self.cursors.values()), default=0)


def digest_of(parked: Mapping[str, Parked]) -> bytes:
    """Of parked keys by their id: equal for equal keys at equal versions. A sum, so that a change is added to it."""
    return _bytes_of(sum(_number_of(one) for one in parked.values()))


def _number_of(parked: Parked) -> int:
    """Of one parked key at its version."""
    content = b"%d %s" % (parked.version, parked.id.encode())
    return int.from_bytes(blake2b(content, digest_size=_DIGEST_BYTES).digest(), "big")


def _bytes_of(total: int) -> bytes:
    return (total % (1 << 8 * _DIGEST_BYTES)).to_bytes(_DIGEST_BYTES, "big")
