"""Bundles, which are events of one lane on their way into one record; and receipts, which tell each event's outcome."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Final, overload

import msgspec

from eventfabric import limits
from eventfabric.model import Batch, BatchId, Lane, Region, SequenceNumber
from eventfabric.sdk.outgoing import Outgoing
from eventfabric.sdk.waiting import Flag
from eventfabric.services.publishing.append import Appended
from eventfabric.wire.batch import EVENTS_BYTES_MAX, batch_of_columns
from eventfabric.wire.payload_codec import Attributes

ROW_MEMORY_BYTES: Final = 430
"""Most memory that an event needs beside its bytes until it is appended: objects, and its place in lists."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """Place of an event in the log: it is durable, and on its way to every subscription."""

    origin: Region
    lane: Lane
    sequence: SequenceNumber
    event_id: str


class Bundle:
    """Events of one lane on their way into one record, field by field. What neighbours share is stored once."""

    __slots__ = (
        "_batch",
        "_listeners",
        "_lock",
        "_runs",
        "_starts",
        "_types",
        "appended",
        "attributes",
        "beside_bytes",
        "contents",
        "error",
        "flag",
        "ids",
        "keys",
        "lane",
        "observed",
        "opened",
        "room_bytes",
        "seal",
    )

    def __init__(self, lane: Lane, seal: Callable[["Bundle"], None] | None) -> None:
        self.lane = lane
        self.seal = seal
        self.ids: list[str] = []
        self.keys: list[str] = []
        self.contents: list[bytes] = []
        self.attributes: Attributes | None = None
        """Attributes of the events that are added now; see `begin`."""
        self.room_bytes = EVENTS_BYTES_MAX
        self.beside_bytes = 0
        """Memory of its events beside what every event needs; see Encoded."""
        self.opened = 0.0
        self.flag = Flag()
        self.appended: Appended | None = None
        self.error: BaseException | None = None
        self.observed: set[int] = set()
        self._runs: list[Attributes] = []
        self._starts: list[int] = []
        self._types: set[str] = set()
        self._lock = Lock()
        self._batch: Batch | None = None
        self._listeners: list[Callable[[], None]] = []

    def begin(self, attributes: Attributes) -> bool:
        """Set the attributes of the events that follow. False if the record can name no further type."""
        if attributes[0] not in self._types:
            if len(self._types) >= limits.RECORD_TYPES_MAX:
                return False
            self._types.add(attributes[0])
        self._runs.append(attributes)
        self._starts.append(len(self.ids))
        self.attributes = attributes
        return True

    @property
    def memory_bytes(self) -> int:
        """Most memory that its events need."""
        return EVENTS_BYTES_MAX - self.room_bytes + len(self.ids) * ROW_MEMORY_BYTES + self.beside_bytes

    def drop_half_event(self) -> None:
        """Remove an event that an interruption left in some columns but not in all."""
        whole = min(len(self.ids), len(self.keys), len(self.contents))
        for column in (self.ids, self.keys, self.contents):
            del column[whole:]

    def batch(self, outgoing: Outgoing) -> Batch:
        """Return the batch of its events. Made once, by whichever thread asks first."""
        with self._lock:
            return self._packed(outgoing)

    def pack_ahead(self, outgoing: Outgoing) -> None:
        """Make its batch before it is asked for, unless its outcome is known already."""
        with self._lock:
            if not self.flag.is_set():
                self._packed(outgoing)

    def _packed(self, outgoing: Outgoing) -> Batch:
        if self._batch is None:
            batch_id = BatchId(outgoing.batch_id())
            self._batch = batch_of_columns(
                batch_id, self.ids, self.keys, self.contents, self._runs, self._starts
            )
        return self._batch

    def lose(self, error: BaseException) -> None:
        """Give it up in a forked child, which can append nothing of its original; nobody waits for it there."""
        self._lock, self.flag, self.seal = Lock(), Flag(), None
        self.error = error
        self.finish()

    def finish(self) -> list[Callable[[], None]]:
        """Mark its outcome as known, and drop the events but for their ids. Return the listeners to be called."""
        with self._lock:
            self.keys, self.contents, self._runs, self._starts = [], [], [], []
            self.attributes = self._batch = None
            self.flag.set()
            listeners, self._listeners = self._listeners, []
        return listeners

    def when_done(self, call: Callable[[], None]) -> None:
        """Call `call` when the outcome of the events is known, from some thread; at once if it is known already."""
        with self._lock:
            if not self.flag.is_set():
                self._listeners.append(call)
                return
        call()


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
        return self._bundle.flag.is_set()

    def hasten(self) -> None:
        """Append the event now, in this thread, if the publisher has no threads that would."""
        bundle = self._bundle
        if bundle.seal is not None and not bundle.flag.is_set():
            bundle.seal(bundle)

    def when_done(self, call: Callable[[], None]) -> None:
        """Call `call` when the outcome is known: at once, or from the thread that learns it. It must return quickly."""
        self._bundle.when_done(call)

    def result(self, timeout_seconds: float | None = None) -> Receipt:
        """Wait for the receipt and return it. Raises the error that prevented publishing, or TimeoutError."""
        bundle = self._bundle
        self.hasten()
        if not bundle.flag.wait(timeout_seconds):
            raise TimeoutError(f"event {self.event_id} was not appended within {timeout_seconds} seconds")
        bundle.observed.add(self._index)
        if bundle.appended is None:
            raise bundle.error or AssertionError("a bundle is done with a place in the log, or an error")
        return receipt(bundle.appended, self._index, self.event_id)


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


def receipt(appended: Appended, index: int, event_id: str) -> Receipt:
    """Return the receipt of the event at `index` of an appended batch."""
    return Receipt(appended.lane.origin, appended.lane, SequenceNumber(appended.sequence + index), event_id)
