"""Lanes that a publisher holds back because there is no credit to append to them."""

from collections.abc import Callable, Iterable, Sequence
from math import inf
from time import monotonic

from eventfabric.errors import BackpressureError
from eventfabric.sdk.bundle import Bundle


class HeldLanes(dict[int, tuple[float, BackpressureError]]):
    """Lanes without credit: when each is tried again, on the monotonic clock, and why it was refused.

    Until then, it takes no more than one record's worth. All calls are made under the lock of the publisher.
    """

    def __init__(self, events_max: int) -> None:
        """`events_max`: events of one record."""
        super().__init__()
        self._events_max = events_max
        self._until = inf

    def hold(self, lane: int, error: BackpressureError) -> bool:
        """Hold a lane back that was refused; False if there is no time left to try it again."""
        now = monotonic()
        if now >= self._until:
            self.pop(lane, None)
            return False
        self[lane] = now + error.retry_after, error
        return True

    def end_within(self, seconds: float) -> None:
        """Hold no lane for longer than that from now on: nobody publishes any more."""
        self._until = min(self._until, monotonic() + seconds)

    def let_go(self, lane: int) -> None:
        """Note that all that waited in a lane is appended, or was given up."""
        self.pop(lane, None)

    def rests(self, lane: int) -> bool:
        """Tell if it is too early to try a lane again."""
        return lane in self and monotonic() < self[lane][0]

    def pause_seconds(self) -> float:
        """Return the seconds until the next lane is to be tried again; infinity if none is."""
        return min((until for until, _ in self.values()), default=inf) - monotonic()

    def refusal(
        self, lanes: Iterable[int], bundles_of: Callable[[int], Sequence[Bundle]]
    ) -> BackpressureError | None:
        """Return why one of these lanes takes no further event. `bundles_of`: what waits in a lane."""
        for lane in lanes:
            if lane in self:
                bundles = bundles_of(lane)
                # A second one that is full, or as many events as a record may hold.
                if len(bundles) > 2 or sum(bundle.left_count for bundle in bundles) >= self._events_max:
                    return self[lane][1]
        return None
