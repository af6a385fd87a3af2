"""Bundles, which are events of one lane on their way into the log; and receipts, which tell each event's outcome.

Usually a bundle becomes one record. It may also land in several parts, each with a place of its own; then errors carry
only the part that did not land.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from logging import getLogger
from threading import Lock
from time import monotonic
from typing import Final, NamedTuple, overload

import msgspec

from eventfabric import limits
from eventfabric.errors import IndeterminateAppendError, PublishNotAttemptedError
from eventfabric.model import Batch, BatchId, Lane, Region, SequenceNumber
from eventfabric.sdk.outgoing import Outgoing
from eventfabric.sdk.waiting import Flag
from eventfabric.services.publishing.append import Appended
from eventfabric.wire.batch import EVENTS_BYTES_MAX, batch_of_columns
from eventfabric.wire.payload_codec import Attributes

_log = getLogger("eventfabric")
ROW_MEMORY_BYTES: Final = 430
"""Most memory that an event needs beside its bytes until it is appended: objects, and its place in lists."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """Place of an event in the log: it is durable, and on its way to every subscription."""

    origin: Region
    lane: Lane
    sequence: SequenceNumber
    event_id: str


class BundlePart(NamedTuple):
    """Events of a bundle whose outcome is known: where they stand, one after the other, or what prevented it."""

    indices: Sequence[int]
    """Their places in the bundle, in order."""
    outcome: Appended | BaseException


class Bundle:
    """Events of one lane on their way into the log, field by field. What neighbours share is stored once."""

    __slots__ = (
        "_batch",
        "_listeners",
        "_lock",
        "_news",
        "_runs",
        "_starts",
        "_told_count",
        "_types",
        "attributes",
        "beside_bytes",
        "contents",
        "ids",
        "is_finished",
        "keys",
        "lane",
        "observed",
        "opened",
        "parts",
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
        self.is_finished = False
        """The outcome of all its events is known, and told."""
        self.parts: list[BundlePart] = []
        self.observed: set[int] = set()
        self._runs: list[Attributes] = []
        self._starts: list[int] = []
        self._types: set[str] = set()
        self._lock = Lock()
        self._batch: Batch | None = None
        self._told_count = 0
        """Number of its first events whose outcome is told."""
        self._news = Flag()
        """Set when more is told; then another one takes its place."""
        self._listeners: list[tuple[int, Callable[[], None]]] = []

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

    @property
    def is_decided(self) -> bool:
        """Tell if the outcome of all its events is known."""
        return not self.left_count

    @property
    def left_count(self) -> int:
        """Number of its events whose outcome is not known yet."""
        return len(self.ids) - self._first_left

    @property
    def error(self) -> BaseException | None:
        """First error that prevented an event from being appended; None: there was none."""
        for part in self.parts:
            if not isinstance(part.outcome, Appended):
                return part.outcome
        return None

    @property
    def landed_count(self) -> int:
        """Number of its events that are appended."""
        return sum(len(part.indices) for part in self.parts if isinstance(part.outcome, Appended))

    def unseen(self) -> Iterator[tuple[str, BaseException]]:
        """Yield the id of each event that failed, and why, except those whose failure somebody has seen."""
        for indices, outcome in self.parts:
            if not isinstance(outcome, Appended):
                for index in indices:
                    if index not in self.observed:
                        yield self.ids[index], outcome

    def receipt(self, index: int) -> "Receipt":
        """Return the receipt of an event whose outcome is known, or raise what prevented its append."""
        for indices, outcome in self.parts:
            place = bisect_left(indices, index)
            if place < len(indices) and indices[place] == index:
                if isinstance(outcome, Appended):
                    return receipt(outcome, place, self.ids[index])
                raise outcome
        raise AssertionError("a bundle is done once the outcome of all its events is known")

    @property
    def _first_left(self) -> int:
        """Place of the first event whose outcome is not known yet."""
        return self.parts[-1].indices[-1] + 1 if self.parts else 0

    def batch(self, outgoing: Outgoing) -> Batch:
        """Return the batch of its events that are not appended. Made once, by whichever thread asks first."""
        with self._lock:
            return self._packed(outgoing)

    def pack_ahead(self, outgoing: Outgoing) -> None:
        """Make its batch before it is asked for, unless its outcome is known already."""
        with self._lock:
            if not self.is_finished:
                self._packed(outgoing)

    def _packed(self, outgoing: Outgoing) -> Batch:
        if self._batch is None:
            batch_id = BatchId(outgoing.batch_id())
            runs, starts, first = self._runs, self._starts, self._first_left
            if first:
                # The run of the first event that is left, and those after it.
                run = bisect_right(starts, first) - 1
                runs, starts = runs[run:], [max(0, start - first) for start in starts[run:]]
            self._batch = batch_of_columns(
                batch_id, self.ids[first:], self.keys[first:], self.contents[first:], runs, starts
            )
        return self._batch

    def land(self, appended: Appended) -> list[Callable[[], None]]:
        """Note where the next of its events stand: those that are left, or the first of them.

        Return the listeners of these, to be called. If none are left, `finish` does.
        """
        first = self._first_left
        with self._lock:
            self._batch = None
            self.parts.append(BundlePart(range(first, first + appended.count), appended))
            return [] if self.is_decided else self._tell(self._first_left)

    def fail(self, error: BaseException) -> None:
        """Note what prevented the append of the events that are left. Those behind an error's own were not tried."""
        first, end = self._first_left, len(self.ids)
        batch = error.batch if isinstance(error, IndeterminateAppendError) else None
        if isinstance(batch, Batch) and batch.count < end - first:
            # The rest must not be taken for what `publish_again` settles.
            self.parts.append(BundlePart(range(first, first + batch.count), error))
            first += batch.count
            error = not_attempted(self.lane, error)
        if first < end:
            self.parts.append(BundlePart(range(first, end), error))

    def lose(self, error: BaseException) -> None:
        """Give it up in a forked child, which can append nothing of its original; nobody waits for it there."""
        self._lock, self._news, self.seal = Lock(), Flag(), None
        self.fail(error)
        self.finish()

    def finish(self) -> list[Callable[[], None]]:
        """Mark its outcome as known, and drop the events but for their ids. Return the listeners to be called."""
        with self._lock:
            self.keys, self.contents, self._runs, self._starts = [], [], [], []
            self.attributes = self._batch = None
            self.is_finished = True
            return self._tell(len(self.ids))

    def _tell(self, count: int) -> list[Callable[[], None]]:
        """Let go on whoever waits for one of the first events. Return their listeners. Call it with the lock."""
        self._told_count = count
        news, self._news = self._news, Flag()
        news.set()
        listeners = [call for index, call in self._listeners if index < count]
        self._listeners = [waiting for waiting in self._listeners if waiting[0] >= count]
        return listeners

    def is_told(self, index: int) -> bool:
        """Tell if the outcome of an event is known."""
        return self.is_finished or index < self._told_count

    def wait(self, index: int, timeout_seconds: float | None) -> bool:
        """Wait until the outcome of an event is known. False if that took too long."""
        until = None if timeout_seconds is None else monotonic() + timeout_seconds
        while True:
            news = self._news  # taken first, and then looked: it may be told meanwhile
            if self.is_told(index):
                return True
            left = None if until is None else until - monotonic()
            if not news.wait(left):
                return self.is_told(index)

    def when_told(self, index: int, call: Callable[[], None]) -> None:
        """Call `call` when the outcome of an event is known, from some thread; at once if it is known already."""
        with self._lock:
            if not self.is_told(index):
                self._listeners.append((index, call))
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


def call_all(lane: Lane, listeners: Sequence[Callable[[], None]]) -> BaseException | None:
    """Call listeners of a lane's receipts, whatever becomes of one. Return the interruption meanwhile, if any."""
    interruption: BaseException | None = None
    for listener in listeners:
        try:
            listener()
        except Exception:  # the listener's own failure, and nobody else's
            _log.exception("what waited for a receipt of lane %s failed", lane)
        except BaseException as error:  # for the thread, once its work is done
            interruption = error
    return interruption


def not_attempted(lane: Lane, cause: BaseException) -> PublishNotAttemptedError:
    """Return the error of events that are behind others of their lane which were not appended."""
    error = PublishNotAttemptedError(f"an earlier batch of lane {lane} was not published")
    error.__cause__ = cause
    return error


def receipt(appended: Appended, index: int, event_id: str) -> Receipt:
    """Return the receipt of the event at `index` of an appended batch."""
    return Receipt(appended.lane.origin, appended.lane, SequenceNumber(appended.sequence + index), event_id)
