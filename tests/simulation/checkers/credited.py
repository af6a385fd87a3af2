"""Slots of credits as they show, ends of lanes and cursors, at each entry of a history."""

from collections import defaultdict

from eventfabric.testing.simulation import history, history_of_credits
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.plan import PlannedSubscription

Slot = tuple[str, str]
"""A subscription and a lane."""


class Credited:
    """Grants, ends and cursors of the plan's stream so far. Feed it the entries in order."""

    def __init__(self, of: History) -> None:
        self.plan = of.plan
        self._subscriptions = {own.name: own for own in of.plan.subscriptions}
        self.ends: defaultdict[str, int] = defaultdict(int)
        """End of each lane in its origin's log."""
        self.shown: defaultdict[tuple[str, str, str], dict[str, int]] = defaultdict(dict)
        """Grants as a Region's ledger shows them, by the Region, subscription and lane, and by who wrote them."""
        self.cursors: defaultdict[Slot, dict[str, history.CursorStand]] = defaultdict(dict)
        """Cursors by the Region that wrote them."""

    def feed(self, entry: history.AnyEntry) -> None:
        """Take in the next entry."""
        match entry:
            case history.Appended():
                end = entry.sequence + (entry.skipped or len(entry.ids))
                self.ends[entry.lane] = max(self.ends[entry.lane], end)
            case history_of_credits.Granted() if entry.stream == self.plan.stream:
                # All Regions of a quorum stream see one table.
                shared = self.plan.durability == "quorum"
                for region in self.plan.regions if shared else (entry.region,):
                    self.shown[region, entry.subscription, entry.lane][entry.writer] = entry.grant
            case history.CursorMoved() if not entry.copied:
                self.cursors[entry.subscription, entry.lane][entry.writer] = entry.after
            case _:
                pass

    def subscription(self, name: str) -> PlannedSubscription:
        return self._subscriptions[name]

    def counts(self, subscription: str, writer: str, origin: str) -> bool:
        """Tell if what a Region grants counts for producers of another, or of its own."""
        return writer == origin or self._subscriptions[subscription].deliver != "everywhere"

    def grant(self, region: str, subscription: str, lane: str) -> int | None:
        """Return the most that a Region's producers may read of a lane of theirs; None: nobody granted anything."""
        shown = self.shown[region, subscription, lane]
        grants = [grant for writer, grant in shown.items() if self.counts(subscription, writer, region)]
        return max(grants, default=None)

    def owner(self, subscription: str, lane: str) -> history.CursorStand | None:
        """Return the cursor of the Region that delivers a lane to its origin's producers; None: there is none."""
        cursors = self.cursors[subscription, lane]
        if self._subscriptions[subscription].deliver == "everywhere":
            return cursors.get(origin_of(lane))
        return max(cursors.values(), key=lambda stand: (stand.epoch, stand.sequence), default=None)


def origin_of(lane: str) -> str:
    """Return the Region in which a lane is appended to."""
    return lane.partition("/")[0]


def gates_in(of: History) -> frozenset[str]:
    """Return the subscriptions that hold producers back, as the plan is deployed at first."""
    return frozenset(own.name for own in of.plan.subscriptions if own.backpressure is not None)
