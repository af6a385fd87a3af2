"""A clock that moves only when it is told to, or when its `sleep` is called. It does not know the real time."""

from typing import Final

START_MS: Final = 1_790_000_000_000


class MemoryClock:
    """ports.Clock of a simulation."""

    def __init__(self, start_ms: int = START_MS) -> None:
        self._now_us = start_ms * 1000
        self._set_us = 0

    def now_ms(self) -> int:
        """Return milliseconds since 1970."""
        return self._now_us // 1000

    def steady_ms(self) -> int:
        """Return milliseconds that setting the wall clock does not change."""
        return (self._now_us - self._set_us) // 1000

    def sleep(self, seconds: float) -> None:
        """Advance the clock by `seconds` at once, instead of waiting."""
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Advance the clock. ValueError if `seconds` is negative, since time does not run back."""
        if seconds < 0:
            raise ValueError(f"seconds: found {seconds}, allowed: 0 or more")
        self._now_us += round(seconds * 1_000_000)

    def set_back(self, seconds: float) -> None:
        """Set the wall clock back, as happens when somebody corrects it."""
        by_us = round(seconds * 1_000_000)
        self._now_us -= by_us
        self._set_us -= by_us
