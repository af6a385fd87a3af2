"""Pace: tell if one more attempt fits into the time left to an invocation, by how long recent attempts took."""

from collections.abc import Sequence

from eventfabric import limits
from eventfabric.ports import Clock
from eventfabric.wire.published import Published, Target

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

    def owe(self, published: Sequence[Published]) -> None:
        """Note what an attempt published, which is yet to be appended. Here, the commit itself does that."""

    def paid(self, writes: int, began_ms: int) -> None:
        """Note that nothing is owed any more, after so many writes since `began_ms`; 0: after some that failed."""


class PublishingPace(Pace):
    """Pace of attempts whose events are appended by writes of their own: an attempt needs time for these, too."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._write_ms: float = limits.PUBLISH_WRITE_MILLISECONDS
        """How long a write is expected to take."""
        self._writes: float = 1
        """Writes that an attempt is expected to need."""
        self._targets: set[Target] = set()
        self._more = 0
        """Writes that are owed beside one for each target lane."""

    def begin(self, deadline_ms: int) -> int | None:
        """See Pace.begin. What is owed must still fit behind the attempt, and what the attempt will publish."""
        if deadline_ms == self._attempted_until_ms:
            owed_ms = (len(self._targets) + self._more + self._writes) * self._write_ms
            if self._clock.now_ms() + (self._expected_ms or 0) + owed_ms > deadline_ms:
                return None
        return super().begin(deadline_ms)

    def owe(self, published: Sequence[Published]) -> None:
        """See Pace.owe."""
        targets = {(event.stream, event.lane) for event in published if not event.once}
        size_bytes = sum(event.size_bytes for event in published if not event.once)
        more = sum(event.once for event in published) + size_bytes // limits.RECORD_PAYLOAD_BYTES_MAX
        self._writes = max(len(targets) + more, self._writes * _DECAY)
        self._targets |= targets
        self._more += more

    def paid(self, writes: int, began_ms: int) -> None:
        """See Pace.paid."""
        if writes:
            took_ms = (self._clock.steady_ms() - began_ms) / writes
            self._write_ms = max(took_ms, self._write_ms * _DECAY)
        self._targets, self._more = set(), 0

    def room_for(self, deadline_ms: int) -> int:
        """See Pace.room_for."""
        room = super().room_for(deadline_ms)
        if room <= 1 or self._expected_ms is None:
            return room
        left_ms = deadline_ms - self._clock.now_ms()
        return max(
            int(deadline_ms != self._attempted_until_ms),
            int(left_ms / max(self._expected_ms + self._writes * self._write_ms, 1.0)),
        )
