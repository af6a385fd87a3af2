"""Put on top: a record at the tail of a lane that deployments write, made anew if somebody else was there first."""

from collections.abc import Callable
from typing import Final, TypeVar

from eventfabric.errors import ContendedAppendError, OutcomeUnknownError, ThrottledError
from eventfabric.model import DeclarationLane
from eventfabric.ports import Clock, Entropy
from eventfabric.services.publishing.tries import Tries

DECLARE_SECONDS: Final = 20.0
"""Time after which a declaration that meets others, or throttling, each time is given up."""

T = TypeVar("T")


def put_on_top(
    lane: DeclarationLane, attempt: Callable[[], tuple[T] | None], *, clock: Clock, entropy: Entropy
) -> T:
    """Call `attempt` until it returns a result, in a tuple; None: somebody else has put a record first.

    It reads the lane's newest record each time, and so sees if a put that had no reply has landed.

    Raises:
        ContendedAppendError: not written; others, or throttling, were in the way until the time was up.
        OutcomeUnknownError: no reply in time; it may be written. Doing it again is harmless.
    """
    tries = Tries(clock, entropy, until_ms=clock.steady_ms() + int(1000 * DECLARE_SECONDS))
    while True:
        error: Exception | None = None
        try:
            done = attempt()
            if done is not None:
                return done[0]
        except (ThrottledError, OutcomeUnknownError) as failed:
            error = failed
        if tries.are_over:
            if isinstance(error, OutcomeUnknownError):
                raise error
            reason = error or "others declared first, each time"
            raise ContendedAppendError(
                f"nothing was declared in {lane}: {reason}", lane=lane, batch=None
            ) from error
        tries.back_off()
