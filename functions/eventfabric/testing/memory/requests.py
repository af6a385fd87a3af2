"""Requests of an adapter: like the AWS SDK, they are sent again after a lost reply, before the caller hears of it."""

from collections.abc import Callable
from typing import Final, TypeVar

from eventfabric.errors import OutcomeUnknownError, ThrottledError
from eventfabric.testing.memory.faults import Faults
from eventfabric.testing.memory.refusals import CONFLICT

T = TypeVar("T")
REQUEST_TRIES: Final = 3


class Requests:
    """Sends the requests of one adapter through faults of its own, apart from those of its port."""

    def __init__(self, faults: Faults | None = None, *, tries: int = REQUEST_TRIES) -> None:
        self._faults = faults or Faults()
        self._tries = tries

    def send(self, name: str, effect: Callable[[], T]) -> T:
        """Send a request up to `tries` times, and return its reply."""
        for _ in range(self._tries - 1):
            try:
                return self._faults.call(name, effect)
            except OutcomeUnknownError:
                continue
            except ThrottledError as error:
                if CONFLICT in error.reason:
                    raise  # the SDK does not retry this either
        return self._faults.call(name, effect)
