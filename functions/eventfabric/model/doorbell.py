"""The doorbell: "this lane has events up to this tail". It carries no events."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from eventfabric import limits
from eventfabric.model.identity import Lane, SequenceNumber, StreamName

ANY_TAIL: Final = SequenceNumber(limits.SEQUENCE_MAX)
"""Larger than every tail: look at the lane, whatever is known of it."""

QueueName: TypeAlias = Callable[[str], str]
"""Returns the name of a subscription's queue."""


@dataclass(frozen=True, slots=True)
class Doorbell:
    """Request to look at a lane. `again` tells a later ring for the same tail from the first: a time, version or
    checksum.

    `ended`: version of the cursor, if the sender could not note any more that its attempts have ended; else 0.
    `failing_ms`: time since which the lane's runs end with calls that fail, in milliseconds since 1970; 0: they do not.
    """

    stream: StreamName
    lane: Lane
    tail: SequenceNumber
    again: int = 0
    ended: int = 0
    failing_ms: int = 0

    @property
    def group(self) -> str:
        """SQS MessageGroupId: the lane, so that nothing of a lane runs twice at once."""
        return str(self.lane)

    @property
    def deduplication_id(self) -> str:
        """SQS deduplication id: lane and tail, so that the queue itself drops the second doorbell for the same news."""
        return f"{self.lane}@{self.tail}" + (f"+{self.again}" if self.again else "")

    def merged_with(self, other: "Doorbell") -> "Doorbell":
        """Return the higher of two doorbells of a lane, with what either says of runs that ended with a failure."""
        highest = max(self, other, key=lambda bell: bell.tail)
        since = [bell.failing_ms for bell in (self, other) if bell.failing_ms]
        return replace(highest, ended=max(self.ended, other.ended), failing_ms=min(since, default=0))

    def with_end(self, version: int) -> "Doorbell":
        """Return the doorbell with the version of the cursor at which the run ended.

        If runs came further since the one that failed before, that failure is over, and this one counts as a first one.
        The last write of that run may have succeeded, although its reply did not come: hence the 1.
        """
        came_further = self.ended and version > self.ended + 1
        return replace(
            self, ended=max(version, self.ended), failing_ms=0 if came_further else self.failing_ms
        )
