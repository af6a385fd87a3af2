"""Owners: who delivers the lanes of an origin for a subscription, if not the Region that the definition names."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from eventfabric.model.circuit import Circuit
from eventfabric.model.identity import HybridTime, Region


@dataclass(frozen=True, slots=True)
class Owner:
    """One handover: from `epoch` on, `region` delivers the lanes appended in `origin`.

    Written by the Region `by`. Of several, the highest epoch counts. Epoch 0 is the first delivery: the Region that the
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
    """Knowledge of one Region's ledger about a subscription as a whole: its circuit, all handovers, where it began."""

    circuit: Circuit = field(default_factory=Circuit)
    owners: tuple[Owner, ...] = ()
    seen_ms: int = 0
    """Time at which this Region's reconciliation last asked the others who owns what, and learned nothing new."""
    starts: Mapping[Region, HybridTime] = field(default_factory=dict)
    """The time with which lanes begin if the subscription begins with the latest, by the Region that pinned it."""

    def owner(self, origin: Region) -> Owner | None:
        """Return the latest handover of an origin's lanes, or else their first delivery; None if there was neither.

        Of two at one epoch, which did not know of each other, the later counts: the other one's Region was away.
        """
        of_origin = [owner for owner in self.owners if owner.origin == origin]
        return max(of_origin, key=lambda owner: (owner.epoch, owner.since_ms, owner.by), default=None)

    def first(self, origin: Region, default: Region) -> Region:
        """Return the Region that delivered an origin's lanes first, as far as is known; else the default."""
        of_origin = [owner for owner in self.owners if owner.origin == origin]
        if any(owner.region == default for owner in of_origin):
            return default
        return min(of_origin, key=lambda owner: owner.epoch).region if of_origin else default

    def handed_since_ms(self, origin: Region) -> int | None:
        """Return when an origin's lanes were first handed over, in ms since 1970, as far as is known; None: never."""
        return min(
            (owner.since_ms for owner in self.owners if owner.origin == origin and owner.epoch), default=None
        )

    def written(self, origin: Region, by: Region) -> Owner | None:
        """Return the handover of an origin's lanes that the Region `by` wrote."""
        return next((o for o in self.owners if (o.origin, o.by) == (origin, by)), None)
