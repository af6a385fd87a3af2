"""Limiter of attempts at the same time in one function, for subscriptions with `concurrency = "auto"`.

    run            as many calls at the same time as the limit allows
    LimitedPace    an attempt waits for its turn, and then finds out if it fits into the time that is left
    LimitedHandler times attempts that were made while the limit was used up, and tells the limit how they went

Only functions of such subscriptions import this module.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock

from eventfabric.copies import when_forked
from eventfabric.errors import PortError
from eventfabric.model import Event
from eventfabric.ports import Attempt, Clock, Handler
from eventfabric.services.delivery.adaptive_limit import AdaptiveLimit
from eventfabric.services.delivery.pace import Pace
from eventfabric.services.delivery.raised import is_of
from eventfabric.services.delivery.side_by_side import SideBySide
from eventfabric.telemetry import Metric, Telemetry
from eventfabric.wire.published import Effect, Published

_PAUSE_SECONDS = 0.005
"""Pause of an attempt that has to wait: rarely, since no more are begun than there is room for."""


class Limiter:
    """The limit of one function, which all its lanes share."""

    def __init__(self, most: int, *, clock: Clock, telemetry: Telemetry) -> None:
        self._limit = AdaptiveLimit(most)
        self._clock = clock
        self._telemetry = telemetry
        self._lanes = 1
        self._begin()
        when_forked(self._begin)

    def _begin(self) -> None:
        self._lock = Lock()
        self._under_way = 0  # a forked child has none of its original's threads

    @property
    def limit(self) -> int:
        """Attempts at the same time, as far as is known now."""
        return self._limit.limit

    @property
    def share(self) -> int:
        """Attempts at the same time in one lane."""
        return -(-self.limit // self._lanes)

    def divide(self, lanes: int) -> None:
        """Divide the limit among so many lanes."""
        self._lanes = max(1, lanes)

    def tell(self) -> None:
        """Report the limit."""
        self._telemetry.gauge(Metric.CONCURRENCY_LIMIT, self.limit)

    def run(self, calls: Sequence[Callable[[], None]], side_by_side: SideBySide) -> None:
        """Make calls at the same time, as many as a lane's share, and the others as these end."""
        left = iter(calls)

        def work() -> None:
            while True:
                with self._lock:
                    call = next(left, None)
                if call is None:
                    return
                call()

        side_by_side([work] * min(self.share, len(calls)))

    def enter(self, deadline_ms: int) -> None:
        """Wait until one more attempt may be made, or until a deadline."""
        while True:
            with self._lock:
                if self._under_way < self.limit or self._clock.now_ms() >= deadline_ms:
                    self._under_way += 1
                    return
            self._clock.sleep(_PAUSE_SECONDS)

    def leave(self) -> None:
        """Note that an attempt is not under way any more."""
        with self._lock:
            self._under_way -= 1

    @contextmanager
    def timed(self, is_permanent: Callable[[Exception], bool]) -> Iterator[None]:
        """Time an attempt, if as many are under way as the limit allows: otherwise it says nothing of the limit.

        `is_permanent`: tells of an error that it is the event's own.
        """
        with self._lock:
            changes, counts = self._limit.changes, self._under_way >= self.limit
        began_ms = self._clock.steady_ms()
        failed = False
        try:
            yield
        except Exception as error:  # whatever the handler raises
            if is_permanent(error) or is_of(error, PortError):
                counts = False
            failed = True
            raise
        finally:
            ended_ms = self._clock.steady_ms()
            with self._lock:
                # What began under another limit says nothing of this one.
                if counts and changes == self._limit.changes:
                    if failed:
                        self._limit.failed(ended_ms)
                    else:
                        self._limit.succeeded(ended_ms - began_ms, ended_ms)

    def paced(self, pace: Pace) -> Pace:
        """Return a pace at which attempts wait for their turn."""
        return LimitedPace(pace, self, self._clock)

    def watched(self, handler: Handler, is_permanent: Callable[[Exception], bool]) -> Handler:
        """Return a handler whose attempts are timed."""
        return LimitedHandler(handler, self, is_permanent)


class LimitedPace(Pace):
    """Pace of attempts that wait for their turn."""

    def __init__(self, pace: Pace, limiter: Limiter, clock: Clock) -> None:
        super().__init__(clock)
        self._pace = pace
        self._limiter = limiter

    def begin(self, deadline_ms: int) -> int | None:
        """See Pace.begin."""
        self._limiter.enter(deadline_ms)
        began_ms = self._pace.begin(deadline_ms)
        if began_ms is None:
            self._limiter.leave()
        return began_ms

    def ended(self, began_ms: int) -> None:
        """See Pace.ended."""
        self._limiter.leave()
        self._pace.ended(began_ms)

    def room_for(self, deadline_ms: int) -> int:
        """See Pace.room_for."""
        return self._pace.room_for(deadline_ms)

    def owe(self, published: Sequence[Published]) -> None:
        """See Pace.owe."""
        self._pace.owe(published)

    def paid(self, writes: int, began_ms: int) -> None:
        """See Pace.paid."""
        self._pace.paid(writes, began_ms)


class LimitedHandler:
    """Handler whose attempts are timed."""

    def __init__(self, handler: Handler, limiter: Limiter, is_permanent: Callable[[Exception], bool]) -> None:
        self.batch_events_max = handler.batch_events_max
        self._handler = handler
        self._limiter = limiter
        self._is_permanent = is_permanent

    def attempt(self, events: Sequence[Event], attempt: Attempt) -> Sequence[Effect]:
        """Run the code. Calls for several events are compared only where they are full."""
        if len(events) < self.batch_events_max:
            return self._handler.attempt(events, attempt)
        with self._limiter.timed(self._is_permanent):
            return self._handler.attempt(events, attempt)
