"""Worth: tell for which records of a stream the queue of a subscription is rung.

a record that may hold a wanted event     always
a seal, which ends a lane                 always: whatever anybody wants goes on behind it
any, if it holds producers back           always: what is granted to them moves with the cursor
any other, appended here a moment ago     no: the cursor may stay behind it, and nothing waits
... at each 4,096th event of the lane     yes, so that the next wanted event has little to read before it
... in a replica, or copied later         yes: it may fill a hole in front of a wanted one, whose run ended there
... before the start is pinned            yes: with the latest, a subscription begins with the first doorbell
"""

from collections.abc import Callable, Sequence
from typing import Final

from eventfabric import limits
from eventfabric.model import Region, Standing, SubscriptionFilter, to_ms
from eventfabric.ports import Clock
from eventfabric.services.lanes.standing import is_pinned
from eventfabric.stream_topology import SubscriptionTopology
from eventfabric.wire.stream_record import RecordNews

FRESH_SECONDS: Final = 60
"""Age up to which a record counts as appended just now, and so in the order of its lane."""


class Worth:
    """Chooser of the records for which one subscription is rung in one Region."""

    def __init__(self, subscription: SubscriptionTopology, *, region: Region, clock: Clock) -> None:
        self._subscription = subscription
        self._filter = SubscriptionFilter.ringing(subscription.definition)
        self._region = region
        self._clock = clock
        self._has_begun = subscription.definition.start != "latest"

    def of(
        self, changes: Sequence[RecordNews], standing: Callable[[], Standing | None]
    ) -> Sequence[RecordNews]:
        """Return the records that are worth a ring. `standing`: called if it matters; None: nobody knows it."""
        if self._filter.wants_all:
            return changes
        return [
            change
            for change in changes
            if change.is_seal or self._filter.may_want(change) or not self._may_wait(change, standing)
        ]

    def _may_wait(self, change: RecordNews, standing: Callable[[], Standing | None]) -> bool:
        """Tell if the cursor may stay before a record that holds nothing wanted, until something rings."""
        if change.lane.origin != self._region or change.sequence is None or change.time is None:
            return False
        every = limits.RING_EVERY_EVENTS
        if change.tail // every > change.sequence // every:
            return False
        is_fresh = self._clock.now_ms() - to_ms(change.time) <= 1000 * FRESH_SECONDS
        return is_fresh and self._is_pinned(change.lane.origin, standing)

    def _is_pinned(self, origin: Region, standing: Callable[[], Standing | None]) -> bool:
        """Tell if it is known with which time lanes begin. A pin stays."""
        if not self._has_begun:
            known = standing()
            if known is None:
                return False
            self._has_begun = is_pinned(self._subscription, origin, known, region=self._region)
        return self._has_begun
