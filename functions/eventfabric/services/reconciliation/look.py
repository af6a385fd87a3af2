"""Look: one lane for one subscription, as one pass of reconciliation sees it."""

from dataclasses import dataclass

from eventfabric.model.cursor import Cursor, LaneState
from eventfabric.model.hybrid_clock import to_ms
from eventfabric.model.identity import Lane, Region, Sequence
from eventfabric.model.marks import Mark
from eventfabric.model.owner import Owner
from eventfabric.model.record import Record, Tail
from eventfabric.model.sightings import Sightings
from eventfabric.topology import SubscriptionTopology


@dataclass(frozen=True, slots=True)
class Look:
    """One lane for one subscription, at one pass."""

    subscription: SubscriptionTopology
    lane: Lane
    mark: Mark
    tail: Tail
    state: LaneState
    cursor: Cursor
    owner: Owner | None
    runs: bool
    """Whether the circuit is closed, or open and its probe overdue: then nobody may have been rung for it."""
    before: Sightings
    """Tails that earlier passes saw."""
    region: Region
    """Whose cursor and keys these are: the former owner's, until this Region has taken the lane over."""
    seen_ms: int
    """When the pass before this one was; 0 where it did not look at this lane for the subscription."""

    @property
    def news_from(self) -> Sequence:
        """The first sequence that was never handed out: behind a replay, where there is one."""
        return max(self.cursor.sequence, self.cursor.replay_until)

    @property
    def lags(self) -> bool:
        """Whether there is an event that was never handed out, here in the log or missing from it."""
        return self.news_from < self.tail.sequence

    def arrived_ms(self, waiting: Record | None, now_ms: int) -> int:
        """When the first event that was never handed out came, by the passes that saw the tail.

        `waiting`: its record, where it can be read; the time in it is what its producer says.
        """
        return self.mark.sightings.arrived_ms(
            self.news_from,
            hint_ms=now_ms if waiting is None else to_ms(waiting.time),
            quiet_ms=0 if self.before.shows(self.news_from) else self.seen_ms,
            now_ms=now_ms,
        )
