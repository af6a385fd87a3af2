"""Owns what reconciliation remembers of a lane from one pass to the next, so that a pass reads only what is new."""

from collections.abc import Collection
from dataclasses import dataclass, field

from eventfabric import limits
from eventfabric.errors import UndecodableItemError
from eventfabric.model.identity import Chain, LaneIndex, Sequence
from eventfabric.model.record import EMPTY_TAIL
from eventfabric.model.sightings import Sightings


@dataclass(frozen=True, slots=True)
class Mark:
    """One lane of one Region's log: every record before `sequence` was verified, the last one's chain is `chain`.

    `end`: where the log ended at the last pass that saw it behind, or with a hole, and `since_ms` of the first pass
    that saw that; 0: it was whole. After a stall, `end` is up to where it was copied. `cursors`: epoch and sequence
    where each subscription stood, by its name.
    """

    sequence: Sequence = EMPTY_TAIL.sequence
    chain: Chain = EMPTY_TAIL.chain
    end: Sequence = EMPTY_TAIL.sequence
    since_ms: int = 0
    cursors: dict[str, tuple[int, int]] = field(default_factory=dict)
    held: Sequence = EMPTY_TAIL.sequence
    """The lane's place as it was noted, the lane being quiet and its records about to expire; 0: it never was."""
    sightings: Sightings = field(default_factory=Sightings)
    """When its tails were first seen, while somebody has events of it to deliver."""
    again: Sequence = EMPTY_TAIL.sequence
    again_chain: Chain = EMPTY_TAIL.chain
    """How far it was verified once more in the round that it is in, and the chain there; 0: it is in none."""
    again_expires_at: int | None = None
    """When the record before that may go: until then, none behind it can have expired."""
    rounds: int = 0
    whole_ms: int = field(default=0, compare=False)
    """When the last round ended, after so many, or else when it was first verified; 0: it never was."""


@dataclass(frozen=True, slots=True)
class Marks:
    """The marks of an origin's lanes of one stream, by lane index.

    `versions` counts the writes of each part in which they are stored.
    """

    lanes: dict[LaneIndex, Mark] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    unreadable: dict[str, UndecodableItemError] = field(default_factory=dict, compare=False)
    """The parts that are left out, since they cannot be read. Whoever writes the marks writes these anew."""

    def of(self, index: LaneIndex) -> Mark:
        """A lane's mark, as far as it can be read."""
        return self.lanes.get(index, Mark())

    def doubt(self, index: LaneIndex, of: Collection[str] | None = None) -> UndecodableItemError | None:
        """Say why a lane's mark tells less than is remembered; None: it tells all.

        `of`: the subscriptions whose cursors are asked for beside the mark itself; None: all.
        """
        part = part_of(index)
        if part in self.unreadable:
            return self.unreadable[part]
        if index not in self.lanes:
            return None  # no pass ever saw anything of it
        asked = None if of is None else {f"{part}/{subscription}" for subscription in of}
        of_cursors = (name for name in self.unreadable if name.startswith(f"{part}/"))
        return next((self.unreadable[name] for name in of_cursors if asked is None or name in asked), None)


def part_of(index: LaneIndex) -> str:
    """The name of the part that holds a lane's mark."""
    return f"{index // limits.MARKS_ITEM_LANES:04d}"
