"""Express: doorbells rung by producers right after their appends, so that deliveries need not wait for the relay.

    publish ── append ── returns
                  └── a thread of its own: lane and tail to the queues of the Region's subscriptions

The relay rings the same doorbell a moment later, and the queue drops it. So what fails here costs time but no event:
nothing is tried again, and a queue that cannot be rung (an outage, a missing grant) is left alone for a while.
"""

from collections.abc import Callable
from logging import getLogger
from threading import Lock
from time import monotonic

from eventfabric import limits
from eventfabric.copies import when_forked
from eventfabric.deadline import Moment
from eventfabric.errors import NoThreadError, PortError
from eventfabric.model import Doorbell, Lane, Record, Region, StreamName, SubscriptionFilter
from eventfabric.ports import Clock, Doorbells
from eventfabric.sdk import exits
from eventfabric.sdk.waiting import Flag
from eventfabric.sdk.workers import Workers
from eventfabric.stream_topology import StreamTopology, SubscriptionTopology

_log = getLogger("eventfabric")


class Express:
    """Ringer for what one process appends. Holds one doorbell a lane and subscription at most, whatever is appended."""

    def __init__(
        self,
        doorbells_of: Callable[[Region], Doorbells],
        *,
        clock: Clock,
        has_threads: bool = True,
        refused: Callable[[StreamName], None] = lambda stream: None,
    ) -> None:
        """Without `has_threads`, doorbells are rung in the caller's thread.

        `refused`: told of a stream one of whose queues does not take them: it may not be there any more.
        """
        self._doorbells_of = doorbells_of
        self._clock = clock
        self._has_threads = has_threads
        self._refused = refused
        self._filters: dict[str, tuple[SubscriptionTopology, SubscriptionFilter]] = {}
        self._begin()
        when_forked(self._begin)

    def _begin(self) -> None:
        self._lock = Lock()
        self._ringers: dict[tuple[Region, str], _Ringer] = {}
        self._pool: Workers | None = None
        self._running: set[Flag] = set()

    def ring(self, stream: StreamTopology, record: Record) -> None:
        """Ring every subscription that wants an event of the record, and whose lane this Region delivers."""
        lane = record.lane
        bell: Doorbell | None = None
        for subscription in stream.subscriptions:
            delivers = subscription.delivers(lane.origin, lane.origin)
            if delivers and self._filter(subscription).may_want(record):
                bell = bell or Doorbell(StreamName(stream.name), lane, record.tail.sequence)
                ringer = self._ringers.get((lane.origin, subscription.name))
                if ringer is None:
                    ringer = self._add(lane.origin, subscription.name)
                if ringer.take(bell):
                    self._run(ringer)

    def _filter(self, subscription: SubscriptionTopology) -> SubscriptionFilter:
        known = self._filters.get(subscription.name)
        if known is None or known[0] is not subscription:  # it may have been deployed anew
            known = self._filters[subscription.name] = (
                subscription,
                SubscriptionFilter.ringing(subscription.definition),
            )
        return known[1]

    def hurry(self) -> None:
        """Do nothing: no doorbell waits to be sent with others."""

    def finish(self, until: float) -> None:
        """Wait, at the end of the process, for what is being rung; the relay rings the rest."""
        self.wait(max(0.0, until - monotonic()))

    def lost(self) -> int:
        """Return 0: no event is lost with a doorbell."""
        return 0

    def wait(self, timeout_seconds: float) -> bool:
        """Wait until all that was taken is rung. False if that takes too long, or no thread can be had for it."""
        left = [ringer for ringer in list(self._ringers.values()) if ringer.is_left()]
        started = [self._run(ringer) for ringer in left]
        until = monotonic() + timeout_seconds
        rung = all(flag.wait(max(0.0, until - monotonic())) for flag in list(self._running))
        return rung and all(started)

    def _add(self, region: Region, subscription: str) -> "_Ringer":
        with self._lock:
            made = _Ringer(self._doorbells_of, region, subscription, self._clock, self._refused)
            return self._ringers.setdefault((region, subscription), made)

    def _run(self, ringer: "_Ringer") -> bool:
        """Have somebody ring. False if no thread can be had for now."""
        if not self._has_threads:
            ringer.ring_all()
            return True
        with self._lock:
            if self._pool is None:
                self._pool = Workers(limits.EXPRESS_THREADS_MAX, "eventfabric-express", owner="this fabric")
                exits.opened(self, as_long_as_held=True)
        rung = Flag()
        self._running.add(rung)
        try:
            self._pool.submit(self._ring_all, ringer, rung)
        except NoThreadError:  # the relay rings, unless a later doorbell finds a thread first
            self._leave(ringer, rung)
            return False
        except BaseException:  # an interruption
            self._leave(ringer, rung)
            raise
        return True

    def _leave(self, ringer: "_Ringer", rung: Flag) -> None:
        ringer.leave()
        self._running.discard(rung)

    def _ring_all(self, ringer: "_Ringer", rung: Flag) -> None:
        try:
            ringer.ring_all()
        except Exception:  # nobody waits for the outcome, and the relay rings what this did not
            _log.exception("doorbells were not rung, and are left to the relay")
        finally:
            self._running.discard(rung)
            rung.set()


class _Ringer:
    """Doorbells of one queue that wait to be sent: the newest of each lane."""

    def __init__(
        self,
        doorbells_of: Callable[[Region], Doorbells],
        region: Region,
        subscription: str,
        clock: Clock,
        refused: Callable[[StreamName], None],
    ) -> None:
        self._doorbells_of = doorbells_of
        self._region = region
        self._subscription = subscription
        self._clock = clock
        self._refused = refused
        self._lock = Lock()
        self._waiting: dict[Lane, Doorbell] = {}
        self._is_ringing = False
        self._failed: Moment | None = None

    def take(self, bell: Doorbell) -> bool:
        """Take a doorbell. True if the caller must then call `ring_all`, since nobody is ringing."""
        with self._lock:
            if self._failed is not None:
                if self._failed.is_within(limits.REGION_PAUSE_SECONDS, Moment.of(self._clock)):
                    return False
                self._failed = None
            known = self._waiting.get(bell.lane)
            if known is None or known.tail < bell.tail:
                self._waiting[bell.lane] = bell
            if self._is_ringing:
                return False
            self._is_ringing = True
            return True

    def is_left(self) -> bool:
        """Tell if doorbells wait and nobody is ringing; then the caller must call `ring_all`."""
        with self._lock:
            is_left = bool(self._waiting) and not self._is_ringing
            self._is_ringing |= is_left
            return is_left

    def leave(self) -> None:
        """Stop ringing: nobody could be found to ring what waits."""
        self._is_ringing = False

    def ring_all(self) -> None:
        """Send all doorbells that wait, and those that come meanwhile."""
        while True:
            with self._lock:
                bells = list(self._waiting.values())
                self._waiting.clear()
                if not bells:
                    self._is_ringing = False
                    return
            try:
                failed = self._doorbells_of(self._region).ring(self._subscription, bells)
            except PortError:
                failed = bells
            except BaseException:  # nobody is ringing any more, and the next doorbell must find that
                self._is_ringing = False
                raise
            if failed:
                with self._lock:
                    self._failed = Moment.of(self._clock)
                    self._waiting.clear()
                self._refused(bells[0].stream)
