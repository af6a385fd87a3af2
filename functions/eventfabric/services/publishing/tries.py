"""Tries: how a write at the tail of a lane, or of several lanes, goes on after a refusal or without a reply.

A service that throttles or is silent is given more time with each try. But if another publisher took the place, waiting
longer does not help: the place that the refusal names is soon taken too, and those that never wait keep the lane to
themselves.
"""

from collections.abc import Iterable

from eventfabric import limits
from eventfabric.errors import OutcomeExpiredError
from eventfabric.model import Record
from eventfabric.ports import Clock, Entropy
from eventfabric.services.lanes.lane_end import may_have_expired


class Tries:
    """The tries of one write, from the first to the last."""

    def __init__(self, clock: Clock, entropy: Entropy, *, until_ms: int) -> None:
        """`until_ms`: time by which the last try must begin, by the steady clock."""
        self._clock = clock
        self._entropy = entropy
        self._until_ms = until_ms
        self._waits = 0
        self._conflicts = 0
        self._seen_ms = clock.now_ms()

    @property
    def are_over(self) -> bool:
        """Tell if the time is up."""
        return self._clock.steady_ms() >= self._until_ms

    def back_off(self, most_seconds: float = limits.APPEND_BACKOFF_MAX_SECONDS) -> None:
        """Wait with full jitter; the longest wait doubles each time, up to `most_seconds`."""
        most = min(most_seconds, limits.APPEND_BACKOFF_SECONDS * 2 ** min(self._waits, 16))
        self._waits += 1
        # Full jitter: publishers that were refused together must not come back together.
        self._clock.sleep(most * self._entropy.fraction())

    def lost_again(self) -> bool:
        """Count a place that others took. Return True if it is time to wait a little and to read the tail."""
        self._conflicts += 1
        return self._conflicts % (limits.APPEND_BLIND_CONFLICTS_MAX + 1) == 0

    def are_old(self, records: Iterable[Record], *, are_unsettled: bool) -> bool:
        """Tell if other records may since have taken these places, been delivered, and expired.

        Cursors would have passed such places, so nothing put there would be delivered. New records get so old only if
        this process stood still; they are to be made anew. OutcomeExpiredError if an earlier try of them had no reply.
        """
        now_ms = self._clock.now_ms()
        if are_unsettled:
            for record in records:
                if may_have_expired(record, now_ms):
                    raise OutcomeExpiredError(record)
            return False
        # The wall clock, because the steady one stands still while a process is suspended.
        seen_ms, self._seen_ms = self._seen_ms, now_ms
        return now_ms - seen_ms > 1000 * limits.EXPIRY_MARGIN_SECONDS
