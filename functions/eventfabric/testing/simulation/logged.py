"""The log as a history shows it, and the subscriptions for which its events are."""

from functools import cached_property

import msgspec

from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.plan import PlannedSubscription


class Logged(msgspec.Struct, frozen=True):
    """One event in the log of its origin. `entry`: number of the history's entry for its append."""

    id: str
    key: str
    type: str
    lane: str
    sequence: int
    batch: str
    entry: int


class FabricLog:
    """The log of a whole fabric, and the groups of Regions that deliver its lanes."""

    def __init__(self, of: History) -> None:
        self.plan = of.plan
        self.entries = of.entries

    @cached_property
    def logged(self) -> dict[tuple[str, int], Logged]:
        """Every event of the log, by lane and sequence."""
        events: dict[tuple[str, int], Logged] = {}
        for number, entry in enumerate(self.entries):
            if isinstance(entry, history.Appended) and not entry.copied:
                for index, id_ in enumerate(entry.ids):
                    place = (entry.lane, entry.sequence + index)
                    if place not in events:
                        events[place] = Logged(
                            id_, entry.keys[index], entry.types[index], *place, entry.batch, number
                        )
        return events

    @cached_property
    def subscriptions(self) -> dict[str, PlannedSubscription]:
        """Subscriptions of the plan, by name."""
        return {subscription.name: subscription for subscription in self.plan.subscriptions}

    def group(self, subscription: str, region: str) -> str:
        """Return the group that delivers a lane: "" for the Regions that hand it over, else the Region itself."""
        return region if self.subscriptions[subscription].deliver == "everywhere" else ""

    def groups(self, subscription: str) -> list[str]:
        """Return every such group."""
        return list(self.plan.regions) if self.subscriptions[subscription].deliver == "everywhere" else [""]
