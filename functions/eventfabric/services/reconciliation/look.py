"""Look: one lane for one subscription, as one pass of reconciliation sees it."""

from collections.abc import Mapping
from dataclasses import dataclass

from eventfabric.model import (
    EMPTY_TAIL,
    Cursor,
    Lane,
    LaneState,
    Mark,
    Owner,
    Parked,
    Record,
    Region,
    SequenceNumber,
    Sightings,
    Tail,
    is_ahead,
    to_ms,
)
from eventfabric.stream_topology import SubscriptionTopology


def believed_ms(written_ms: int, now_ms: int) -> int:
    """Return when something was written; 0 if that is too far ahead of this Region's clock to be believed."""
    return 0 if is_ahead(written_ms, now_ms) else written_ms


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
    """True if the circuit is closed, or if it is open and its probe is overdue: then perhaps nobody was rung for it."""
    before: Sightings
    """Tails that earlier passes saw."""
    region: Region
    """Region whose cursor and keys these are: the former owner's until this Region has taken the lane over."""
    seen_ms: int
    """Time of the pass before this one; 0 if that did not look at this lane for the subscription."""
    ahead: Cursor
    """The cursor behind all verified records that hold nothing wanted: what waits there, waits."""
    begins: bool
    """True if a lane without a cursor is known to begin at its end or before."""
    is_sure: bool
    """True if no Region may know of another owner: each has answered this pass, or every Region delivers for itself."""
    start: Tail = EMPTY_TAIL
    """Tail with which the lane begins."""

    @property
    def parked(self) -> Mapping[str, Parked]:
        """The parked keys that wait in the lane; none where its children have them."""
        return {} if self.cursor.past_seal is not None else self.state.parked.get(self.region, {})

    @property
    def news_from(self) -> SequenceNumber:
        """The first wanted sequence that was never handed out; if a replay is under way, it lies after that."""
        return max(self.ahead.sequence, self.cursor.replay_until)

    @property
    def lags(self) -> bool:
        """Tell if there is an event that is to be handed out for the first time, in the log here or missing from it."""
        return self.news_from < self.tail.sequence

    def arrived_ms(self, waiting: Record | None, now_ms: int) -> int:
        """Return when the first event that was never handed out arrived, by the passes that saw the tail.

        `waiting`: its record, if that can be read; the time in it is what its producer says.
        """
        return self.mark.sightings.arrived_ms(
            self.news_from,
            hint_ms=now_ms if waiting is None else to_ms(waiting.time),
            # What the pass before did not see came after it, whatever its producer's clock says.
            quiet_ms=0 if self.before.shows(self.news_from) else self.seen_ms,
            now_ms=now_ms,
        )
