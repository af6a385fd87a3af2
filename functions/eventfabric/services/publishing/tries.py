"""Tries: how one write at the tail of a lane, or of several lanes, goes on after a refusal or without a reply.

A service that throttles or is silent is given ever more time. Where others took the place, waiting longer helps nobody:
by then what the refusal told is old, and who never waits has the lane for himself.
"""

from collections.abc import Iterable

from eventfabric import limits
from eventfabric.errors import OutcomeExpiredError
from eventfabric.model.record import Record
from eventfabric.ports import Clock, Entropy
from eventfabric.services.lanes.lane_end import may_have_expired


class Tries:
    """The tries of one write, from its first to its end."""

    def __init__(self, clock: Clock, entropy: Entropy, *, until_ms: int) -> None:
        """`until_ms`: when the last may begin, by the steady clock."""
        self._clock = clock
        self._entropy = entropy
        self._until_ms = until_ms
        self._waits = 0
        self._conflicts = 0
        self._seen_ms = clock.now_ms()

    @property
    def are_over(self) -> bool:
        """Tell whether the time is up."""
        return self._clock.steady_ms() >= self._until_ms

    def back_off(self, most_seconds: float = limits.APPEND_BACKOFF_MAX_SECONDS) -> None:
        """Wait with full jitter, at most twice as long as before."""
        most = min(most_seconds, limits.APPEND_BACKOFF_SECONDS * 2 ** min(self._waits, 16))
        self._waits += 1
        self._clock.sleep(most * self._entropy.fraction())

    def lost_again(self) -> bool:
        """Count a place that others took; True where it is time to wait a little, and to read the tail."""
        self._conflicts += 1
        return self._conflicts % (limits.APPEND_BLIND_CONFLICTS_MAX + 1) == 0

    def are_old(self, records: Iterable[Record], *, are_unsettled: bool) -> bool:
        """Tell records whose places may have been taken, delivered and expired: cursors would have passed them by now.

        New ones are so only where this process stood still; they are to be made anew. OutcomeExpiredError where an
        earlier try of them had no reply.
        """
        now_ms = self._clock.now_ms()
        if are_unsettled:
            for record in records:
                if may_have_expired(record, now_ms):
                    raise OutcomeExpiredError(record)
            return False
        seen_ms, self._seen_ms = self._seen_ms, now_ms
        return now_ms - seen_ms > 1000 * limits.EXPIRY_MARGIN_SECONDS
