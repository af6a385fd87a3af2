"""Sightings: when a Region first saw events in a lane, by the clock of the Region that looks, not the publishers'.

    passes at      10:00      10:05      10:10
    tail seen        40         55         55          40 to 54 were appended between 10:00 and 10:05

A record carries its producer's time, and that clock may be wrong by hours. It serves as a hint within these bounds.
"""

from dataclasses import dataclass

from eventfabric import limits
from eventfabric.model.identity import SequenceNumber


@dataclass(frozen=True, slots=True)
class Sighting:
    """A lane's tail, and when it was first seen to stand there, in milliseconds since 1970."""

    tail: SequenceNumber
    at_ms: int


@dataclass(frozen=True, slots=True)
class Sightings:
    """Tails of a lane from the oldest to the newest; kept while somebody has events of the lane to deliver."""

    seen: tuple[Sighting, ...] = ()

    def with_tail(self, tail: SequenceNumber, now_ms: int) -> "Sightings":
        """Add the tail that was seen now, if the lane has grown since the last sighting."""
        if self.seen and self.seen[-1].tail >= tail:
            return self
        seen = (*self.seen, Sighting(tail, now_ms))
        if len(seen) > limits.SIGHTINGS_MAX:
            middle = limits.SIGHTINGS_MAX // 2
            seen = (*seen[:middle], *seen[middle + 1 :])
        return Sightings(seen)

    def shows(self, sequence: SequenceNumber) -> bool:
        """Tell if the event at `sequence` was seen: a tail after it was."""
        return bool(self.seen) and self.seen[-1].tail > sequence

    def from_(self, sequence: SequenceNumber) -> "Sightings":
        """Forget sightings that say nothing about events from `sequence` on."""
        passed = sum(sighting.tail <= sequence for sighting in self.seen)
        return Sightings(self.seen[max(0, passed - 1) :])

    def arrived_ms(self, sequence: SequenceNumber, *, hint_ms: int, quiet_ms: int, now_ms: int) -> int:
        """Return when the event at `sequence` was appended, as near as can be told.

        `hint_ms`: the producer's time. `quiet_ms`: time of the last look, if it saw nothing from `sequence` on; else 0.
        """
        earliest, latest = quiet_ms, now_ms
        for sighting in self.seen:
            if sighting.tail <= sequence:
                earliest = max(earliest, sighting.at_ms)
            else:
                latest = min(latest, sighting.at_ms)
        return max(min(earliest, latest), min(hint_ms, latest))
