"""Pending receipts: what a publisher gives for events whose outcome is not known yet."""

from collections.abc import Callable, Sequence
from typing import overload

import msgspec

from eventfabric.sdk.bundle import Bundle, Receipt


class PendingReceipt(msgspec.Struct, frozen=True, eq=False):
    """Future receipt of one event."""

    _bundle: Bundle
    _index: int

    @property
    def event_id(self) -> str:
        """Id of the event."""
        return self._bundle.ids[self._index]

    def done(self) -> bool:
        """Tell if the outcome of the event is known."""
        return self._bundle.is_told(self._index)

    def hasten(self) -> None:
        """Append the event now, in this thread, if the publisher has no threads that would."""
        bundle = self._bundle
        if bundle.seal is not None and not bundle.is_finished:
            bundle.seal(bundle)

    def when_done(self, call: Callable[[], None]) -> None:
        """Call `call` when the outcome is known: at once, or from the thread that learns it. It must return quickly."""
        self._bundle.when_told(self._index, call)

    def result(self, timeout_seconds: float | None = None) -> Receipt:
        """Wait for the receipt and return it. Raises the error that prevented publishing, or TimeoutError."""
        bundle = self._bundle
        self.hasten()
        if not bundle.wait(self._index, timeout_seconds):
            raise TimeoutError(f"event {self.event_id} was not appended within {timeout_seconds} seconds")
        bundle.observed.add(self._index)
        return bundle.receipt(self._index)


class PendingReceipts(Sequence[PendingReceipt]):
    """Future receipts of many events, in order. Each is made when it is looked at: there may be very many."""

    __slots__ = ("bundles", "indices")

    def __init__(self) -> None:
        self.bundles: list[Bundle] = []
        self.indices: list[int] = []

    @overload
    def __getitem__(self, position: int) -> PendingReceipt: ...
    @overload
    def __getitem__(self, position: slice) -> list[PendingReceipt]: ...
    def __getitem__(self, position: int | slice) -> PendingReceipt | list[PendingReceipt]:
        """Return the future receipt of one event, or of several."""
        if isinstance(position, slice):
            return [self[index] for index in range(*position.indices(len(self)))]
        return PendingReceipt(self.bundles[position], self.indices[position])

    def __len__(self) -> int:
        return len(self.indices)
