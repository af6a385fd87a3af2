"""The local clocks: one that only tests move, one that runs and can be moved on as well."""

from time import monotonic, sleep, time
from typing import Protocol

from eventfabric.testing.memory.clock import MemoryClock


class MovableClock(Protocol):
    """ports.Clock that can be moved on."""

    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        ...

    def steady_ms(self) -> int:
        """Milliseconds since some moment of this process."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait, or move on instead."""
        ...

    def advance(self, seconds: float) -> None:
        """Move on without waiting."""
        ...


class LocalClock(MemoryClock):
    """Stands still until somebody moves it; sleeping moves it."""


class RunningClock:
    """The machine's time, plus what it was advanced by."""

    def __init__(self) -> None:
        self._ahead_seconds = 0.0

    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        return int((time() + self._ahead_seconds) * 1000)

    def steady_ms(self) -> int:
        """Milliseconds since some moment of this process."""
        return int((monotonic() + self._ahead_seconds) * 1000)

    def sleep(self, seconds: float) -> None:
        """Wait."""
        sleep(seconds)

    def advance(self, seconds: float) -> None:
        """Move on without waiting."""
        self._ahead_seconds += seconds


def seconds_of(clock: MovableClock) -> float:
    """The clock's time in seconds since 1970."""
    return clock.now_ms() / 1000
