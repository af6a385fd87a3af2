"""Owns the cursor: how far one subscription has come in one lane, with proof of what lies behind it."""

from dataclasses import dataclass, field

from eventfabric.model.identity import Chain, Lane, Region, Sequence, StreamName, SubscriptionName
from eventfabric.model.parked import Parked
from eventfabric.model.record import EMPTY_TAIL


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
    attempts of it by itself of which nothing was heard.
    """

    sequence: Sequence
    base: Sequence
    chain: Chain
    version: int = 0
    epoch: int = 0
    attempting: bool = False
    crashes: int = 0


START = Cursor(EMPTY_TAIL.sequence, EMPTY_TAIL.sequence, EMPTY_TAIL.chain)


@dataclass(frozen=True, slots=True)
class LaneState:
    """All that the ledger knows of a lane for a subscription, as one read saw it: each Region's cursor, and its parked
    keys by their id.
    """

    cursors: dict[Region, Cursor]
    parked: dict[Region, dict[str, Parked]] = field(default_factory=dict)

    def cursor(self, region: Region) -> Cursor:
        """The cursor of a Region, or the start where it has none."""
        return self.cursors.get(region, START)
