"""Owns what reconciliation remembers of a lane from one pass to the next, so that a pass reads only what is new."""

from dataclasses import dataclass, field

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

    def of(self, index: LaneIndex) -> Mark:
        """A lane's mark."""
        return self.lanes.get(index, Mark())
