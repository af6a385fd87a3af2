"""The local clocks: one that only tests move, one that runs and can be moved on as well."""

from time import sleep, time

_START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z


class LocalClock:
    """ports.Clock that stands still until somebody moves it; sleeping moves it."""

    def __init__(self, start_ms: int = _START_MS) -> None:
        self._ms = float(start_ms)

    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        return int(self._ms)

    def now(self) -> float:
        """Seconds since 1970."""
        return self._ms / 1000

    def sleep(self, seconds: float) -> None:
        """Move on instead of waiting."""
        self.advance(seconds=seconds)

    def advance(self, *, seconds: float) -> None:
        """Move on."""
        if seconds < 0:
            raise ValueError(f"seconds: found {seconds}, allowed: 0 or more; time does not run back")
        self._ms += seconds * 1000


class RunningClock(LocalClock):
    """The machine's time, plus what it was advanced by."""

    def __init__(self) -> None:
        self._ahead_seconds = 0.0

    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        return int(self.now() * 1000)

    def now(self) -> float:
        """Seconds since 1970."""
        return time() + self._ahead_seconds

    def sleep(self, seconds: float) -> None:
        """Wait."""
        sleep(seconds)

    def advance(self, *, seconds: float) -> None:
        """Move on, without waiting."""
        if seconds < 0:
            raise ValueError(f"seconds: found {seconds}, allowed: 0 or more; time does not run back")
        self._ahead_seconds += seconds
