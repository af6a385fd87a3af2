"""The publisher: packs events of a lane into records, appends lane beside lane, tells every caller what became of it.

Per lane: an open bundle that takes events, sealed bundles that wait, and at most one append under way, so that the
events of a key stand in the log in the order in which they were published.
"""

from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from threading import Condition, RLock, Thread
from threading import Event as Flag
from time import monotonic
from types import TracebackType
from typing import Final, Self

import msgspec

from eventfabric import limits
from eventfabric.errors import EventFabricError, PublishFailedError, PublishNotAttemptedError, SettingError
from eventfabric.model.event import Event, HeaderValue
from eventfabric.model.identity import BatchId, Lane, LaneIndex, Region, Sequence
from eventfabric.model.record import Batch
from eventfabric.sdk.outgoing import Outgoing
from eventfabric.services.append import Appended
from eventfabric.wire.payload_codec import RECORD_OVERHEAD_BYTES, Row, pack

_PAYLOAD_BYTES_MAX: Final = limits.RECORD_PAYLOAD_BYTES_MAX - RECORD_OVERHEAD_BYTES


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where an event stands in the log: durable, and on its way to every subscription."""

    origin: Region
    lane: Lane
    sequence: Sequence
    event_id: str


class _Bundle:
    """Events of one lane on their way into one record."""

    __slots__ = (
        "appended",
        "error",
        "flag",
        "ids",
        "lane",
        "opened",
        "room_bytes",
        "rows",
        "seal",
        "seen",
        "types",
    )

    def __init__(self, lane: Lane, seal: Callable[["_Bundle"], None] | None) -> None:
        self.lane = lane
        self.seal = seal
        self.rows: list[Row] = []
        self.ids: list[str] = []
        self.types: set[str] = set()
        self.room_bytes = _PAYLOAD_BYTES_MAX
        self.opened = 0.0
        self.flag = Flag()
        self.appended: Appended | None = None
        self.error: BaseException | None = None
        self.seen: set[int] = set()

    def id_of(self, index: int) -> str:
        """The id of an event; the rows themselves are let go with the append."""
        rows = self.rows
        return rows[index][0] if rows else self.ids[index]

    def types_full(self) -> bool:
        """Whether the record can name no further type."""
        return len(self.types) >= limits.RECORD_TYPES_MAX


class PendingReceipt(msgspec.Struct, frozen=True, eq=False):
    """The receipt to come of one event."""

    _bundle: _Bundle
    _index: int

    @property
    def event_id(self) -> str:
        """The event's id."""
        return self._bundle.id_of(self._index)

    def done(self) -> bool:
        """Whether it is known what became of the event."""
        return self._bundle.flag.is_set()

    def result(self, timeout_seconds: float | None = None) -> Receipt:
        """The receipt; waits for it. Raises why the event was not published, or TimeoutError."""
        bundle = self._bundle
        if bundle.seal is not None and not bundle.flag.is_set():
            bundle.seal(bundle)  # nobody else will: there is no thread that lingers
        if not bundle.flag.wait(timeout_seconds):
            raise TimeoutError(f"event {self.event_id} was not appended within {timeout_seconds} seconds")
        bundle.seen.add(self._index)
        if bundle.appended is None:
            raise bundle.error or AssertionError("a bundle is done with a place in the log, or an error")
        return receipt(bundle.appended, self._index, self.event_id)


def receipt(appended: Appended, index: int, event_id: str) -> Receipt:
    """The receipt of the event at `index` of an appended batch."""
    return Receipt(appended.lane.origin, appended.lane, Sequence(appended.sequence + index), event_id)


class Publisher:
    """Publishes to one stream of a Fabric; a context manager that flushes on exit. Safe to use from several threads.

    On exit, failures that nobody has seen through `result()` are raised as one PublishFailedError.
    """

    def __init__(
        self,
        outgoing: Outgoing,
        *,
        linger_ms: float = limits.PUBLISHER_LINGER_MILLISECONDS,
        events_max: int = limits.RECORD_EVENTS_MAX,
        buffer_bytes_max: int = limits.PUBLISHER_BUFFER_BYTES_MAX,
        parallel_lanes: int = limits.PUBLISHER_PARALLEL_LANES,
        acks: int = 1,
    ) -> None:
        self._acks = outgoing.check_acks(acks)
        _check_settings(linger_ms, events_max, buffer_bytes_max)
        self._outgoing = outgoing
        self._linger_seconds = linger_ms / 1000
        self._last_index = events_max - 1
        self._buffer_bytes_max = buffer_bytes_max
        # The lock itself, and not the condition, is what `take` enters: that is C, and runs for every event.
        self._lock = RLock()
        self._changed = Condition(self._lock)
        self._open: dict[LaneIndex, _Bundle] = {}
        self._sealed: dict[LaneIndex, deque[_Bundle]] = {}
        self._room_bytes = buffer_bytes_max
        self._published = 0
        self._failed: list[_Bundle] = []
        self._closed = False
        # Without workers every append runs in the caller's thread: the local fabric wants one thread at a time.
        self._pool = ThreadPoolExecutor(parallel_lanes, "eventfabric-publisher") if parallel_lanes else None
        self._lingerer: Thread | None = None

    def publish(
        self,
        *,
        key: str,
        type: str,
        data: object = None,
        id: str | None = None,
        headers: Mapping[str, HeaderValue] | None = None,
        time: datetime | str | None = None,
        source: str | None = None,
    ) -> PendingReceipt:
        """Take an event; returns at once with its receipt to come. InvalidEventError where it cannot be published."""
        return self.take(*self._outgoing.encode(key, type, data, id, headers, time, source))

    def publish_event(self, event: Event) -> PendingReceipt:
        """As `publish`, of an Event."""
        return self.take(*self._outgoing.encode_event(event))

    def take(self, lane: Lane, row: Row, size: int) -> PendingReceipt:
        """As `publish`, of an event that is encoded already."""
        type_ = row[1]
        with self._lock:
            if size > self._room_bytes:
                self._make_room(size)
            bundle = self._open.get(lane.index)
            if (
                bundle is None
                or size > bundle.room_bytes
                or (type_ not in bundle.types and bundle.types_full())
            ):
                bundle = self._open_bundle(lane)
            rows = bundle.rows
            index = len(rows)
            rows.append(row)
            bundle.types.add(type_)
            bundle.room_bytes -= size
            self._room_bytes -= size
            if index == self._last_index:
                self._seal(lane.index)
        return PendingReceipt(bundle, index)

    @property
    def buffered_bytes(self) -> int:
        """Bytes of events that are taken and not yet appended."""
        return self._buffer_bytes_max - self._room_bytes

    def flush(self) -> None:
        """Append all that was taken, and wait for it."""
        with self._changed:
            self._seal_all()
            self._changed.wait_for(lambda: not self._sealed)

    def close(self) -> None:
        """Take no more, flush, stop, and raise the failures that nobody has seen."""
        with self._changed:
            self._closed = True
            self._seal_all()
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._sealed)
        if self._lingerer:
            self._lingerer.join()
        if self._pool:
            self._pool.shutdown()
        failures = [
            (event_id, bundle.error)
            for bundle in self._failed
            for index, event_id in enumerate(bundle.ids)
            if index not in bundle.seen and bundle.error is not None
        ]
        if failures:
            raise PublishFailedError(failures, published=self._published)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except PublishFailedError as failed:
            if error is None:
                raise
            error.add_note(str(failed))

    def _make_room(self, size: int) -> None:
        """Append what waits until the event fits; one that would never fit goes alone."""

        def has_room() -> bool:
            return size <= self._room_bytes or not self.buffered_bytes

        self._seal_all()
        self._changed.wait_for(has_room)

    def _open_bundle(self, lane: Lane) -> _Bundle:
        if self._closed:
            raise EventFabricError("the publisher is closed: publish inside its with block")
        if lane.index in self._open:
            self._seal(lane.index)
        bundle = self._open[lane.index] = _Bundle(lane, self._seal_bundle if self._pool is None else None)
        if self._pool is not None:
            self._linger(bundle)
        return bundle

    def _linger(self, bundle: _Bundle) -> None:
        bundle.opened = monotonic()
        if self._lingerer is None:
            self._lingerer = Thread(target=self._seal_in_time, name="eventfabric-linger", daemon=True)
            self._lingerer.start()
        elif len(self._open) == 1:
            self._changed.notify_all()

    def _seal_in_time(self) -> None:
        with self._changed:
            while not self._closed:
                oldest = min((bundle.opened for bundle in self._open.values()), default=None)
                if oldest is None:
                    self._changed.wait()
                    continue
                due = oldest + self._linger_seconds
                if (wait_seconds := due - monotonic()) > 0:
                    self._changed.wait(wait_seconds)
                    continue
                for index in [index for index, bundle in self._open.items() if bundle.opened <= oldest]:
                    self._seal(index)

    def _seal_bundle(self, bundle: _Bundle) -> None:
        with self._changed:
            if self._open.get(bundle.lane.index) is bundle:
                self._seal(bundle.lane.index)

    def _seal_all(self) -> None:
        for index in list(self._open):
            self._seal(index)

    def _seal(self, index: LaneIndex) -> None:
        bundle = self._open.pop(index)
        waiting = self._sealed.get(index)
        if waiting is not None:
            waiting.append(bundle)
            return
        self._sealed[index] = deque([bundle])
        if self._pool is None:
            self._append_waiting(bundle.lane)
        else:
            self._pool.submit(self._append_waiting, bundle.lane)

    def _append_waiting(self, lane: Lane) -> None:
        """Append a lane's sealed bundles, one after the other; after a failure those behind it are held back."""
        waiting = self._sealed[lane.index]
        while True:
            bundle = waiting[0]
            batch = Batch(
                BatchId(self._outgoing.batch_id()),
                len(bundle.rows),
                frozenset(bundle.types),
                pack(bundle.rows),
            )
            try:
                bundle.appended = self._outgoing.append(lane, batch, acks=self._acks)
            except (
                BaseException
            ) as error:  # the caller's to see, through the receipt: a worker has nobody to tell
                bundle.error = error
            with self._changed:
                self._finish(waiting.popleft())
                if bundle.error is not None:
                    while waiting:
                        behind = waiting.popleft()
                        behind.error = PublishNotAttemptedError(
                            f"an earlier batch of lane {lane} was not published"
                        )
                        behind.error.__cause__ = bundle.error
                        self._finish(behind)
                done = not waiting
                if done:
                    del self._sealed[lane.index]
                    self._changed.notify_all()
            if bundle.error is not None and not isinstance(bundle.error, Exception):
                raise bundle.error  # an interruption is for the thread, too
            if done:
                return

    def _finish(self, bundle: _Bundle) -> None:
        self._room_bytes += _PAYLOAD_BYTES_MAX - bundle.room_bytes
        bundle.ids = [row[0] for row in bundle.rows]
        bundle.rows = []
        if bundle.error is None:
            self._published += len(bundle.ids)
        else:
            self._failed.append(bundle)
        bundle.flag.set()
        self._changed.notify_all()


def _check_settings(linger_ms: float, events_max: int, buffer_bytes_max: int) -> None:
    """SettingError that says which is out of its bounds."""
    if not 0 <= linger_ms <= limits.PUBLISHER_LINGER_MILLISECONDS_MAX:
        raise SettingError("linger_ms", linger_ms, f"0 to {limits.PUBLISHER_LINGER_MILLISECONDS_MAX:,}")
    if type(events_max) is not int or not 1 <= events_max <= limits.RECORD_EVENTS_MAX:
        raise SettingError("events_max", events_max, f"1 to {limits.RECORD_EVENTS_MAX:,}")
    if type(buffer_bytes_max) is not int or buffer_bytes_max < 1:
        raise SettingError("buffer_bytes_max", buffer_bytes_max, "1 or more")
