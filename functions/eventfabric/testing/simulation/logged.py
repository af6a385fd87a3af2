"""Owns what a history says of a fabric's log, and of whom its events are for."""

from functools import cached_property

import msgspec

from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.plan import PlannedSubscription


class Logged(msgspec.Struct, frozen=True):
    """One event as the log of its origin holds it; `entry`: where the history tells of its append."""

    id: str
    key: str
    type: str
    lane: str
    sequence: int
    batch: str
    entry: int


class Log:
    """The log of a whole fabric, and the groups of Regions that hand out each lane of it."""

    def __init__(self, of: History) -> None:
        self.plan = of.plan
        self.entries = of.entries

    @cached_property
    def logged(self) -> dict[tuple[str, int], Logged]:
        """Every event of the log, by lane and sequence."""
        found: dict[tuple[str, int], Logged] = {}
        for number, entry in enumerate(self.entries):
            if isinstance(entry, history.Appended) and not entry.copied:
                for index, id_ in enumerate(entry.ids):
                    place = (entry.lane, entry.sequence + index)
                    if place not in found:
                        found[place] = Logged(
                            id_, entry.keys[index], entry.types[index], *place, entry.batch, number
                        )
        return found

    @cached_property
    def subscriptions(self) -> dict[str, PlannedSubscription]:
        """Subscriptions of the plan, by name."""
        return {one.name: one for one in self.plan.subscriptions}

    def group(self, subscription: str, region: str) -> str:
        """Name who hands out a lane together: the Regions among which it is handed over, or each by itself."""
        return region if self.subscriptions[subscription].deliver == "everywhere" else ""

    def groups(self, subscription: str) -> list[str]:
        """Every such group."""
        return list(self.plan.regions) if self.subscriptions[subscription].deliver == "everywhere" else [""]

    def wants(self, subscription: str, one: Logged) -> bool:
        """Tell whether a subscription is to be handed an event."""
        types = self.subscriptions[subscription].types
        return not types or one.type in types
