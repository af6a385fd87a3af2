"""How an adapter's requests travel: as with the SDK, what had no reply is sent again before the caller hears of it."""

from collections.abc import Callable
from typing import Final, TypeVar

from eventfabric.errors import OutcomeUnknownError, ThrottledError
from eventfabric.testing.memory.faults import Faults
from eventfabric.testing.memory.table import CONFLICT

T = TypeVar("T")
REQUEST_TRIES: Final = 3


class Requests:
    """Sends requests of one adapter, through faults of their own (not to be mixed up with those of its port)."""

    def __init__(self, faults: Faults | None = None, *, tries: int = REQUEST_TRIES) -> None:
        self._faults = faults or Faults()
        self._tries = tries

    def send(self, name: str, effect: Callable[[], T]) -> T:
        """The reply to a request, of the last try at the latest."""
        for _ in range(self._tries - 1):
            try:
                return self._faults.call(name, effect)
            except OutcomeUnknownError:
                continue
            except ThrottledError as error:
                if CONFLICT in error.reason:
                    raise  # which the SDK does not try again by itself
        return self._faults.call(name, effect)
