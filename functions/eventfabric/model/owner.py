"""Owns who delivers the lanes of an origin for a subscription, when that is not whom the definition says."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from eventfabric.model.circuit import Circuit
from eventfabric.model.identity import HybridTime, Region


@dataclass(frozen=True, slots=True)
class Owner:
    """One handover: from `epoch` on, `region` delivers the lanes appended in `origin`.

    Written by the Region `by`; of several the highest epoch counts. Epoch 0 is the first delivery: the Region that the
    definition named then goes on until a handover, whatever the definition says later. `version` counts the writes, 0
    for none yet.
    """

    origin: Region
    region: Region
    epoch: int
    by: Region
    since_ms: int = 0
    reason: str = ""
    version: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """What one Region's ledger says of a subscription as a whole: its circuit, all handovers, where it began."""

    circuit: Circuit = field(default_factory=Circuit)
    owners: tuple[Owner, ...] = ()
    seen_ms: int = 0
    """When this Region's reconciliation last asked the others who owns what, and learned nothing new."""
    starts: Mapping[Region, HybridTime] = field(default_factory=dict)
    """By the Region that pinned it: the time with which lanes begin, where the subscription begins with the latest."""

    def owner(self, origin: Region) -> Owner | None:
        """The latest handover of an origin's lanes, or else their first delivery; None where there was neither.

        Of two at one epoch, which did not know of each other, the later counts: the other's Region was away.
        """
        of_origin = [owner for owner in self.owners if owner.origin == origin]
        return max(of_origin, key=lambda owner: (owner.epoch, owner.since_ms, owner.by), default=None)

    def first(self, origin: Region, default: Region) -> Region:
        """The Region that delivered an origin's lanes first, as far as is known; else the default."""
        of_origin = [owner for owner in self.owners if owner.origin == origin]
        if any(owner.region == default for owner in of_origin):
            return default
        return min(of_origin, key=lambda owner: owner.epoch).region if of_origin else default

    def handed_since_ms(self, origin: Region) -> int | None:
        """When an origin's lanes were first handed over, as far as is known; None: they were not."""
        return min(
            (owner.since_ms for owner in self.owners if owner.origin == origin and owner.epoch), default=None
        )

    def written(self, origin: Region, by: Region) -> Owner | None:
        """The handover of an origin's lanes that a Region wrote."""
        return next((o for o in self.owners if (o.origin, o.by) == (origin, by)), None)
