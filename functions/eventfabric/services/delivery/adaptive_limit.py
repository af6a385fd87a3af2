"""Adaptive limit: how many attempts a function makes at the same time, decided by how long they take.

    latency, over what it is with few at a time      the limit
    below 1.25 times                                 grows: by a half, and by an eighth once it has met its bound
    below 2 times                                    stays: what is downstream is used fully
    2 times and more                                 shrinks, in proportion
    a tenth of the attempts fails                    shrinks, by the share that fails

Latencies are compared by means of their logarithms, and only where the difference is more than chance; until then, more
attempts are awaited. A limit that was too high is tried again if attempts become faster, or after ten minutes. So it
settles, and does not swing.
"""

from dataclasses import dataclass, field
from math import exp, log, sqrt
from typing import Final

GROWS_BELOW: Final = log(1.25)
SHRINKS_FROM: Final = log(2.0)
RETRY_MS: Final = 600_000
"""Time after which a limit that was too high is tried again."""
_AGAIN_MS: Final = 240_000
"""Time after which it is tried again if attempts are fast by then."""
_AIM: Final = log(1.5)
"""Latency at which a limit aims that shrinks."""
_LATENCY_MS_MIN: Final = 5
"""Shorter attempts count as this long: where they are this fast, nothing is gained by waiting for less."""
_SAMPLES_MIN, _SAMPLES_MAX = 6, 1024
_CHANCE: Final = 2.5
"""Standard errors by which a difference must exceed a bound, if it is to be more than chance."""
_BASE_ERROR_MAX, _BASE_SAMPLES_MAX = 0.15, 2048
_PRIOR_VARIANCE, _PRIOR_SAMPLES = 0.5, 8
"""Variance that is assumed before much was seen, and the samples for which that counts."""
_COMPARED_ERROR_MAX: Final = 0.1
_ROUNDS: Final = 6
_CEILING_SHARE: Final = 0.8
_OWN_SHARE: Final = 1 / 3
"""Share of what is expected by which latency changes with the limit, if the limit is what makes attempts slow."""
_FAILING_SHARE, _WELL_SHARE, _FAILURES_MIN = 0.1, 0.02, 3
_FASTER: Final = log(1.2)


@dataclass(slots=True)
class Latencies:
    """A sample of latencies: sums of their logarithms."""

    count: float = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, latency: float) -> None:
        """Add the logarithm of a latency."""
        self.count += 1
        self.total += latency
        self.squares += latency * latency

    def join(self, other: "Latencies") -> None:
        """Add those of another sample, and forget old ones if there are many."""
        self.count += other.count
        self.total += other.total
        self.squares += other.squares
        if self.count > _BASE_SAMPLES_MAX:
            kept = _BASE_SAMPLES_MAX / self.count
            self.count *= kept
            self.total *= kept
            self.squares *= kept

    @property
    def mean(self) -> float:
        """Mean of the logarithms."""
        return self.total / self.count

    @property
    def deviation(self) -> float:
        """Standard deviation of the logarithms."""
        spread = max(0.0, self.squares - self.total**2 / self.count) + _PRIOR_VARIANCE * _PRIOR_SAMPLES
        return sqrt(spread / (self.count + _PRIOR_SAMPLES))

    @property
    def error(self) -> float:
        """Standard error of the mean."""
        return self.deviation / sqrt(self.count)


@dataclass(frozen=True, slots=True)
class _Compared:
    """The limit before the last change, and the mean of the logarithms of latencies under it."""

    limit: int
    mean: float


@dataclass(slots=True)
class AdaptiveLimit:
    """The limit, between 1 and `most`, and what was learnt of latencies. It knows no threads and no clock."""

    most: int
    limit: int = 1
    changes: int = 0
    """Number of changes so far. An attempt that began before the last one says nothing of the limit as it is."""
    _base: Latencies = field(default_factory=Latencies)
    """Latencies without others at the same time, or with so few that it makes no difference."""
    _window: Latencies = field(default_factory=Latencies)
    """Latencies since the last decision."""
    _failed: int = 0
    _look_from: float = _SAMPLES_MIN
    """Number of samples at which the window is looked at."""
    _grows_fast: bool = True
    _shrinks: bool = False
    """The last change made it smaller."""
    _compared: _Compared | None = None
    """With what this window is compared: the limit has shrunk for its latency, or is tried."""
    _ceiling: int = 0
    """The highest limit that was not too high; 0: none has been."""
    _ceiling_ms: int = 0

    def succeeded(self, took_ms: float, now_ms: int) -> None:
        """Count an attempt, and decide if enough is known. `now_ms`: by a steady clock."""
        window = self._window
        window.add(log(max(took_ms, _LATENCY_MS_MIN)))
        # The slow ones of a window end last, so a window must be longer the more they differ.
        if window.count >= self._look_from and window.count >= _ROUNDS * self.limit * window.deviation:
            self._look_from = window.count * 1.5
            self._judge(window, now_ms)

    def failed(self, now_ms: int) -> None:
        """Count an attempt that failed for a reason that may be overload."""
        self._failed += 1
        if self._failed >= max(_FAILURES_MIN, self.limit / 2) and self._failing_share >= _FAILING_SHARE:
            self._compared = None
            self._shrink(self.limit * (1 - self._failing_share), now_ms)
            self._grows_fast = True  # once it is over: what was well below the ceiling is known to be

    @property
    def _failing_share(self) -> float:
        return self._failed / max(1.0, self._failed + self._window.count)

    def _judge(self, window: Latencies, now_ms: int) -> None:
        """Decide, if what was seen since the last decision is more than chance."""
        if self._compared is not None:
            self._compare(self._compared, window, now_ms)
        elif self.limit == 1:
            self._learn(window, now_ms)
        else:
            self._judge_by_base(window, now_ms)

    def _judge_by_base(self, window: Latencies, now_ms: int) -> None:
        over = window.mean - self._base.mean
        chance = _CHANCE * sqrt(window.error**2 + self._base.error**2)
        # A little too far at first is soon seen, and a limit that waits for certainty grows for minutes.
        grows_below = GROWS_BELOW + (chance / 2 if self._grows_fast else -chance)
        if over - chance >= SHRINKS_FROM:
            self._compared = _Compared(self.limit, window.mean)
            self._shrink(self.limit * exp(_AIM - over), now_ms)
        elif over < grows_below:
            if over + chance < -_FASTER:
                self._base = window  # faster than ever: what was known is out of date
            elif over < GROWS_BELOW:
                self._base.join(window)
            is_sure = over + chance < GROWS_BELOW
            if is_sure and self.limit == self._ceiling and now_ms - self._ceiling_ms >= _AGAIN_MS:
                self._ceiling = 0  # little more than this was too much, and is not any more
            self._grow(now_ms, fast=is_sure or self._grows_fast)
        elif window.error <= _COMPARED_ERROR_MAX or window.count >= _SAMPLES_MAX:
            self._grows_fast = False
            self._try_more(window, now_ms)

    def _learn(self, window: Latencies, now_ms: int) -> None:
        """Learn how long attempts take without others at the same time, and grow once that is known."""
        if window.error > _BASE_ERROR_MAX and window.count < _SAMPLES_MAX:
            return
        if self._base.count and abs(window.mean - self._base.mean) < _CHANCE * window.error:
            self._base.join(window)
        else:
            self._base = window
        self._grow(now_ms)

    def _compare(self, before: _Compared, window: Latencies, now_ms: int) -> None:
        """Decide if latency has changed with the limit, as it should if it was the limit's doing."""
        if window.error > _COMPARED_ERROR_MAX and window.count < _SAMPLES_MAX:
            return
        self._compared = None
        expected = log(self.limit / before.limit)
        if (window.mean - before.mean) / expected < _OWN_SHARE:
            # As slow with fewer, or as fast with more: that is not this process's doing, but how long it takes now.
            self._base, self._grows_fast = window, True
            if expected < 0:
                self._ceiling = 0
            self._grow(now_ms)
        elif expected > 0:
            self._ceiling, self._ceiling_ms = before.limit, now_ms
            self._begin(before.limit)
        else:
            self._begin(self.limit)

    def _try_more(self, window: Latencies, now_ms: int) -> None:
        """Try a higher limit where attempts take longer than they did: perhaps it makes no difference."""
        wanted = self._bounded(self.limit + (self.limit + 1) // 2, now_ms)
        if wanted > self.limit and not self._ceiling and not self._failed:
            self._compared = _Compared(self.limit, window.mean)
        else:
            wanted = self.limit
        self._begin(wanted)

    def _grow(self, now_ms: int, *, fast: bool = True) -> None:
        step = (self.limit + 1) // 2 if fast else max(1, self.limit // 8)
        is_well = self._failing_share <= _WELL_SHARE
        self._shrinks = False
        self._begin(self._bounded(self.limit + step, now_ms) if is_well else self.limit)

    def _bounded(self, wanted: int, now_ms: int) -> int:
        """Return a limit that may be tried, no lower than it is."""
        if self._ceiling and now_ms - self._ceiling_ms >= RETRY_MS:
            self._ceiling = 0
        return max(self.limit, min(wanted, self._ceiling or self.most, self.most))

    def _shrink(self, to: float, now_ms: int) -> None:
        # Of several steps down in a row, the first one tells what was too high.
        if not self._shrinks and self.limit > 1:
            self._ceiling = max(1, min(self.limit - 1, round(_CEILING_SHARE * self.limit)))
        self._shrinks = True
        self._ceiling_ms, self._grows_fast = now_ms, False
        self._begin(max(1, min(round(to), 2 * self.limit // 3), self.limit // 2))

    def _begin(self, limit: int) -> None:
        """Begin a window."""
        self.changes += limit != self.limit
        self.limit = limit
        self._window, self._failed = Latencies(), 0
        self._look_from = max(_SAMPLES_MIN, 2 * limit)
