"""Ringer: the queue of one subscription, as one process of the relay knows it.

    the queue takes the doorbells     they are rung
    it refuses, or gives no answer    a timer for each lane rings later, for all that the lane has by then
    the timers do not take that       they are left: reconciliation rings for every lane in which events wait

So trouble with one queue costs a batch a few calls, whose time is bounded, and no other subscription waits for it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

from eventfabric import limits
from eventfabric.deadline import Moment, call_within
from eventfabric.model import ANY_TAIL, Doorbell, Lane
from eventfabric.ports import Clock, Doorbells

T = TypeVar("T")

CALLS_SECONDS: Final = 3.0
"""Time for all calls of a batch to one queue, so that one that gives no answer holds up no later record."""
SLOW_SECONDS: Final = 1.0
"""Time of calls in vain after which a queue is left alone for a while, in which timers ring."""
AGAIN_SECONDS: Final = 1
"""Delay before a lane is rung whose doorbell the queue did not take, and pause of a queue that gave no answer. Both
double for as long as that lasts: the delay up to limits.UNRUNG_SECONDS, the pause up to limits.REGION_PAUSE_SECONDS."""
HOLD_SECONDS: Final = 15.0
"""Time for which a batch comes again because both queues of a subscription take no doorbell."""


@dataclass(frozen=True, slots=True)
class Rung:
    """The outcome of ringing one subscription. The doorbells that are `put_off` are rung by a timer."""

    rung: Sequence[Doorbell] = ()
    put_off: Sequence[Doorbell] = ()
    left: Sequence[Doorbell] = ()

    @property
    def refused(self) -> int:
        """Number of doorbells that the queue did not take."""
        return len(self.put_off) + len(self.left)


@dataclass(frozen=True, slots=True)
class _Cover:
    """A timer that rings a lane so many seconds after it was set, and so for everything that comes before."""

    set_at: Moment
    seconds: int


@dataclass(slots=True)
class _Endpoint:
    """One queue. After a call that took long in vain, it is left alone, since each batch would wait for it anew.

    At first for a second, for a single reply may be lost; then for twice as long each time.
    """

    clock: Clock
    _failed: Moment | None = field(default=None, init=False)
    _pause_seconds: int = field(default=0, init=False)

    def call(self, send: Callable[[], T], has_failed: Callable[[T], object], otherwise: T) -> T:
        """Return what the queue answers; `otherwise` while it is left alone."""
        began = Moment.of(self.clock)
        if self._failed is not None and self._failed.is_within(self._pause_seconds, began):
            return otherwise
        answer = call_within(CALLS_SECONDS, send)
        ended = Moment.of(self.clock)
        if ended.steady_ms - began.steady_ms >= 1000 * SLOW_SECONDS and has_failed(answer):
            longer = max(AGAIN_SECONDS, 2 * self._pause_seconds)
            self._failed, self._pause_seconds = ended, min(longer, limits.REGION_PAUSE_SECONDS)
        else:
            self._failed, self._pause_seconds = None, 0
        return answer


class Ringer:
    """Ringer of one subscription's queue."""

    def __init__(self, subscription: str, doorbells: Doorbells, clock: Clock, *, drops: bool = False) -> None:
        """`drops`: what its queue does not take is left to reconciliation. No timer here knows the subscription."""
        self.subscription = subscription
        self.drops = drops
        self._doorbells = doorbells
        self._clock = clock
        self._queue = _Endpoint(clock)
        self._timers = _Endpoint(clock)
        self._covered: dict[Lane, _Cover] = {}
        self._failing_since: Moment | None = None

    @property
    def is_newly_failing(self) -> bool:
        """Tell if neither queue takes a doorbell, and that began a short time ago."""
        since = self._failing_since
        return since is not None and since.is_within(HOLD_SECONDS, Moment.of(self._clock))

    def ring(self, bells: Sequence[Doorbell]) -> Rung:
        """Ring, and have timers ring later for what the queue does not take."""
        if not bells:
            return Rung()
        send = partial(self._doorbells.ring, self.subscription, bells)
        refused = self._queue.call(send, bool, list(bells))
        rung = [bell for bell in bells if bell not in refused] if refused else bells
        for bell in rung:
            self._covered.pop(bell.lane, None)
        if self.drops:
            return Rung(rung, left=refused)
        left = self._timers.call(partial(self._put_off, refused), bool, refused) if refused else ()
        if not left:
            self._failing_since = None
        elif self._failing_since is None:
            self._failing_since = Moment.of(self._clock)
        return Rung(rung, [bell for bell in refused if bell not in left], left)

    def _put_off(self, refused: Sequence[Doorbell]) -> list[Doorbell]:
        """Set a timer for each lane, unless one is under way. Return the doorbells for which that fails."""
        return [bell for bell in refused if not self._is_covered(bell)]

    def _is_covered(self, bell: Doorbell) -> bool:
        """Tell if a timer is under way that rings for all that stands in the lane by now; set one if there is none.

        Each comes twice as late as the one before: while a queue is away, timers pile up, and none is ever dropped.
        """
        now, cover = Moment.of(self._clock), self._covered.get(bell.lane)
        if cover is not None and cover.set_at.is_within(cover.seconds, now):
            return True
        longest = limits.UNRUNG_SECONDS  # after it, reconciliation rings
        seconds = AGAIN_SECONDS if cover is None else min(2 * cover.seconds, longest)
        later = Doorbell(bell.stream, bell.lane, ANY_TAIL, again=now.wall_ms)
        if not self._doorbells.ring_later(self.subscription, later, seconds):
            return False
        self._covered[bell.lane] = _Cover(now, seconds)
        return True
