"""Patience: how long a call that failed for a moment is tried again in place, with back-off and full jitter."""

from eventfabric import limits
from eventfabric.ports import Clock, Entropy


class Patience:
    """The tries of one call. Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/."""

    def __init__(self, clock: Clock, entropy: Entropy, *, seconds: float) -> None:
        """`seconds`: how long it is tried, from now on."""
        self._clock = clock
        self._entropy = entropy
        self._until_ms = clock.steady_ms() + int(1000 * seconds)
        self._tries = 0

    def wait(self) -> bool:
        """Wait until the next try. Return False if the time for tries is up."""
        # The steady clock, because a wall clock that is set back would make this wait for ever.
        left_ms = self._until_ms - self._clock.steady_ms()
        if left_ms <= 0:
            return False
        most = min(limits.PATIENCE_WAIT_MAX_SECONDS, limits.PATIENCE_WAIT_SECONDS * 2 ** min(self._tries, 16))
        self._tries += 1
        self._clock.sleep(min(left_ms / 1000, most * self._entropy.fraction()))
        return True
