"""Pace: tell if one more attempt fits into the time left to an invocation, by how long recent attempts took."""

from eventfabric.ports import Clock

# An attempt that was slow by accident counts half after seven others.
_DECAY = 0.9


class Pace:
    """The pace of one function instance, whose threads may share it. A slow attempt is remembered for a while."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._expected_ms: float | None = None
        self._attempted_until_ms = -1

    def begin(self, deadline_ms: int) -> int | None:
        """Return the time at which an attempt begins, which `ended` takes; None if the attempt does not fit.

        The first attempt of an invocation always fits, or a slow handler would never run.
        """
        now_ms = self._clock.now_ms()
        if now_ms >= deadline_ms:
            return None
        # The deadline tells the invocations of a warm process apart.
        if deadline_ms == self._attempted_until_ms and now_ms + (self._expected_ms or 0) > deadline_ms:
            return None
        self._attempted_until_ms = deadline_ms
        return self._clock.steady_ms()

    def ended(self, began_ms: int) -> None:
        """Note that the attempt has ended, however it ended."""
        # By the steady clock: a wall clock that is set makes an
        # attempt look endless, or shorter than nothing.
        took_ms = self._clock.steady_ms() - began_ms
        self._expected_ms = max(took_ms, (self._expected_ms or 0) * _DECAY)

    def room_for(self, deadline_ms: int) -> int:
        """Return how many attempts surely fit: one while nothing is known, and at least one of a fresh invocation."""
        left_ms = deadline_ms - self._clock.now_ms()
        if left_ms <= 0:
            return 0
        if self._expected_ms is None:
            return 1
        fresh = deadline_ms != self._attempted_until_ms
        return max(int(fresh), int(left_ms / max(self._expected_ms, 1.0)))
