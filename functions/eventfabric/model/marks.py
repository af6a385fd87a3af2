"""The memory that reconciliation keeps of a lane between passes, so that a pass reads only what is new."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from eventfabric import limits
from eventfabric.errors import UndecodableItemError
from eventfabric.model.identity import (
    DECLARES,
    Chain,
    DeclarationLane,
    Lane,
    Region,
    SequenceNumber,
)
from eventfabric.model.record import EMPTY_TAIL, Tail
from eventfabric.model.sightings import Sightings


def is_ahead(noted_ms: int, now_ms: int) -> bool:
    """Tell if a time that was noted lies too far ahead of this Region's clock to be believed."""
    return noted_ms > now_ms + 1000 * limits.UNRUNG_SECONDS


@dataclass(frozen=True, slots=True)
class Mark:
    """Mark of one lane of one Region's log: every record before `sequence` was verified, the last with chain `chain`.

    `end`: where the log ended at the last pass that saw it behind, or with a hole. `since_ms`: time of the first pass
    that saw this; 0: the log was whole. After a stall, `end` is the place up to which it was copied. `cursors`: epoch
    and sequence of each subscription's cursor, by the name of its state.
    """

    sequence: SequenceNumber = EMPTY_TAIL.sequence
    chain: Chain = EMPTY_TAIL.chain
    end: SequenceNumber = EMPTY_TAIL.sequence
    since_ms: int = 0
    cursors: dict[str, tuple[int, int]] = field(default_factory=dict)
    held: SequenceNumber = EMPTY_TAIL.sequence
    """Place of the lane that was noted because it was quiet and its records were about to expire; 0: never noted."""
    sightings: Sightings = field(default_factory=Sightings)
    """Times at which its tails were first seen, kept while somebody has events of it to deliver."""
    again: SequenceNumber = EMPTY_TAIL.sequence
    again_chain: Chain = EMPTY_TAIL.chain
    """Progress of the current round, in which it is verified once more, and the chain there; 0: it is in no round."""
    again_expires_at: int | None = None
    """Time, in seconds since 1970, at which the record before that may expire; until then no later one can have."""
    rounds: int = 0
    whole_ms: int = field(default=0, compare=False)
    """End of the last of `rounds` rounds, or else of the first verification, in ms since 1970; 0: never verified."""

    rests_ms: int = 0
    """Time of the pass that last read all of its state, if nothing was left to do or wrong; 0: it is not at rest."""
    rests_for: bytes = field(default=b"", repr=False)
    """Digest of who delivered it at that time."""
    short_ms: int = 0
    """Time since which each pass has seen that nothing may be appended to it, for lack of credit; 0: more may be."""

    def believed(self, now_ms: int) -> "Mark":
        """Return the mark without times that no pass can have noted yet: they would hide how long something lasts."""
        noted_ms = (
            self.since_ms,
            self.whole_ms,
            self.short_ms,
            *(sighting.at_ms for sighting in self.sightings.seen),
        )
        if not is_ahead(max(noted_ms), now_ms):
            return self
        # 1: so long ago that the next round is due, which replaces it.
        whole_ms = min(self.whole_ms, 1)
        return replace(self, since_ms=0, whole_ms=whole_ms, short_ms=0, sightings=Sightings())

    def up_to(self, verified: Tail) -> "Mark":
        """Return the mark after verification up to a tail."""
        return replace(self, sequence=verified.sequence, chain=verified.chain)


@dataclass(frozen=True, slots=True)
class Marks:
    """Marks of an origin's lanes of one stream, by the number of the lane.

    `versions`: number of writes of each part in which they are stored.
    """

    lanes: dict[int, Mark] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    unreadable: dict[str, UndecodableItemError] = field(default_factory=dict, compare=False)
    """Parts that are left out because they cannot be read. The next write of the marks replaces them."""

    def of(self, number: int) -> Mark:
        """Return a lane's mark, as far as it can be read."""
        return self.lanes.get(number, Mark())

    def doubt(self, number: int, of: Collection[str] | None = None) -> UndecodableItemError | None:
        """Return why a lane's mark says less than is remembered; None: it says everything.

        `of`: the subscriptions whose cursors are asked for beside the mark itself; None: all.
        """
        part = part_of(number)
        if part in self.unreadable:
            return self.unreadable[part]
        if number not in self.lanes:
            return None  # no pass ever saw anything of this lane
        asked = None if of is None else {f"{part}/{subscription}" for subscription in of}
        of_cursors = (name for name in self.unreadable if name.startswith(f"{part}/"))
        return next((self.unreadable[name] for name in of_cursors if asked is None or name in asked), None)


def marked_as(lane: Lane) -> Region:
    """Return the origin by which a lane is marked. Earlier versions do not look where declarations are."""
    return Region(f"{DECLARES}{lane.origin}") if isinstance(lane, DeclarationLane) else lane.origin


def part_of(number: int) -> str:
    """Return the name of the part that holds a lane's mark, by the number of the lane."""
    return f"{number // limits.MARKS_ITEM_LANES:04d}"
