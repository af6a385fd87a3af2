"""Moment: a point in time by both clocks of a process, since neither of them always tells how much time has gone by."""

from dataclasses import dataclass

from eventfabric.ports import Clock


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment by both clocks: the wall clock may be set back, and the steady one stands still in a frozen function."""

    wall_ms: int
    steady_ms: int

    @classmethod
    def of(cls, clock: Clock) -> "Moment":
        """Return this moment."""
        return cls(clock.now_ms(), clock.steady_ms())

    def is_within(self, seconds: float, now: "Moment") -> bool:
        """Tell if less than that time has gone by, by both clocks."""
        most_ms = 1000 * seconds
        # Less than 0: the wall clock was set back, and nobody knows how much time has gone by.
        return 0 <= now.wall_ms - self.wall_ms < most_ms and now.steady_ms - self.steady_ms < most_ms
