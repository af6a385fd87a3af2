"""Local clocks: one that only tests move, and one that runs and can also be advanced."""

from time import monotonic, sleep, time
from typing import Protocol

from eventfabric.testing.memory.clock import MemoryClock


class MovableClock(Protocol):
    """A ports.Clock that can be advanced."""

    def now_ms(self) -> int:
        """Return milliseconds since 1970."""
        ...

    def steady_ms(self) -> int:
        """Return milliseconds since some moment of this process."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait, or advance the clock instead."""
        ...

    def advance(self, seconds: float) -> None:
        """Advance the clock without waiting."""
        ...


class LocalClock(MemoryClock):
    """A clock that stands still until somebody advances it; `sleep` advances it."""


class RunningClock:
    """The machine's time plus the seconds by which it was advanced."""

    def __init__(self) -> None:
        self._ahead_seconds = 0.0

    def now_ms(self) -> int:
        """Return milliseconds since 1970."""
        return int((time() + self._ahead_seconds) * 1000)

    def steady_ms(self) -> int:
        """Return milliseconds since some moment of this process."""
        return int((monotonic() + self._ahead_seconds) * 1000)

    def sleep(self, seconds: float) -> None:
        """Wait."""
        sleep(seconds)

    def advance(self, seconds: float) -> None:
        """Advance the clock without waiting."""
        self._ahead_seconds += seconds


def seconds_of(clock: MovableClock) -> float:
    """Return the clock's time in seconds since 1970."""
    return clock.now_ms() / 1000
