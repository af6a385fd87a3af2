"""The publisher: packs events of a lane into records, appends lane beside lane, tells every caller what became of it.

Per lane: an open bundle that takes events, sealed bundles that wait, and at most one append under way, so that the
events of a key stand in the log in the order in which they were published.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from heapq import nsmallest
from math import inf
from threading import Condition, RLock, Thread
from time import monotonic
from types import TracebackType
from typing import Final, Literal, Self, TypeAlias

from eventfabric import limits
from eventfabric.errors import (
    BufferFullError,
    EventFabricError,
    PublishFailedError,
    PublishNotAttemptedError,
    SettingError,
)
from eventfabric.model.event import Event, HeaderValue
from eventfabric.model.identity import Lane, LaneIndex
from eventfabric.sdk.bundle import PAYLOAD_BYTES_MAX, Bundle, PendingReceipt, PendingReceipts
from eventfabric.sdk.outgoing import Encoded, Outgoing
from eventfabric.wire.payload_codec import Attributes

WhenFull: TypeAlias = Literal["wait", "raise"]
ROW_MEMORY_BYTES: Final = 400
"""At most so much memory does an event need beside its bytes, until it is appended: objects, and its place in lists."""


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
        when_full: WhenFull = "wait",
    ) -> None:
        self._acks = outgoing.check_acks(acks)
        _check_settings(linger_ms, events_max, buffer_bytes_max, when_full)
        self._waits = when_full == "wait"
        self._outgoing = outgoing
        self._linger_seconds = linger_ms / 1000
        self._last_index = events_max - 1
        self._buffer_bytes_max = buffer_bytes_max
        # The lock itself, and not the condition, is what `take` enters: that is C, and runs for every event.
        self._lock = RLock()
        self._appended = Condition(self._lock)
        self._due = Condition(self._lock)
        self._open: dict[LaneIndex, Bundle] = {}
        self._sealed: dict[LaneIndex, deque[Bundle]] = {}
        self._room_bytes = buffer_bytes_max
        self._published = 0
        self._failed: list[Bundle] = []
        self._closed = False
        # Without workers every append runs in the caller's thread: the local fabric wants one thread at a time.
        self._parallel_lanes = parallel_lanes
        self._pool = ThreadPoolExecutor(parallel_lanes, "eventfabric-publisher") if parallel_lanes else None
        self._lingerer: Thread | None = None
        self._lingers_until = inf
        """When the lingerer looks again, if nobody wakes it."""

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
        """Take an event; returns at once with its receipt to come.

        Raises:
            InvalidEventError: it cannot be published.
            BufferFullError: there is no room, and the publisher is not to wait for some.
        """
        return self.take(self._outgoing.encode(key, type, data, id, headers, time, source))

    def publish_event(self, event: Event) -> PendingReceipt:
        """As `publish`, of an Event."""
        return self.take(self._outgoing.encode_event(event))

    def publish_all(self, type: str, items: Iterable[tuple[str, object]]) -> PendingReceipts:
        """As `publish`, of events of one type, each a key and its data; the cheapest way to publish many.

        Raises as `publish`, with the index of the event: those before it are taken, none behind it. BufferFullError
        says how many those are.
        """
        receipts = PendingReceipts()
        try:
            for encoded in self._outgoing.encode_all(type, items):
                self._take(encoded, receipts)
        except BufferFullError as full:
            full.events_taken = len(receipts)
            raise
        return receipts

    def take(self, event: Encoded) -> PendingReceipt:
        """As `publish`, of an event that is encoded already."""
        receipts = PendingReceipts()
        self._take(event, receipts)
        return PendingReceipt(receipts.bundles[0], receipts.indices[0])

    def _take(self, encoded: Encoded, receipts: PendingReceipts) -> None:
        """Put events into the open bundles of their lanes. Runs for every event: what can be is done once for all."""
        attributes, around_bytes = encoded.attributes, encoded.around_bytes
        memory_bytes = encoded.size_bytes + len(encoded) * ROW_MEMORY_BYTES
        behind: list[Bundle] = []
        opened, last_index = self._open, self._last_index
        bundles, indices = receipts.bundles.append, receipts.indices.append
        with self._lock:
            if memory_bytes > self._room_bytes:
                if len(encoded) > 1 and (not self._waits or memory_bytes > self._buffer_bytes_max):
                    for half in encoded.halves():
                        self._take(half, receipts)
                    return
                self._make_room(memory_bytes, waits=self._waits)
            if self._closed:
                raise EventFabricError("the publisher is closed: publish inside its with block")
            self._room_bytes -= memory_bytes
            for (lane, key, key_bytes), event_id, content in zip(
                encoded.places, encoded.ids, encoded.contents, strict=True
            ):
                size = len(content) + key_bytes + around_bytes
                bundle = opened.get(lane)
                if bundle is None or size > bundle.room_bytes or bundle.attributes is not attributes:
                    bundle = self._bundle_for(lane, attributes, size)
                contents = bundle.contents
                index = len(contents)
                contents.append(content)
                bundle.keys.append(key)
                bundle.ids.append(event_id)
                bundle.room_bytes -= size
                bundles(bundle)
                indices(index)
                if index == last_index and self._seal(lane):
                    behind.append(bundle)
        for bundle in behind:
            bundle.pack_ahead(self._outgoing)  # while the one before it is on the wire

    @property
    def buffered_bytes(self) -> int:
        """Memory of events that are taken and not yet appended: their bytes, and what Python needs to hold each."""
        return self._buffer_bytes_max - self._room_bytes

    def wait_for_room(self, size_bytes: int) -> None:
        """Wait until an event of so many bytes would be taken."""
        with self._lock:
            self._make_room(size_bytes, waits=True)

    def flush(self) -> None:
        """Append all that was taken, and wait for it."""
        with self._lock:
            self._seal_all()
            self._appended.wait_for(lambda: not self._sealed)

    def close(self) -> None:
        """Take no more, flush, stop, and raise the failures that nobody has seen."""
        with self._lock:
            self._closed = True
            self._seal_all()
            self._due.notify()
            self._appended.wait_for(lambda: not self._sealed)
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

    def _make_room(self, size: int, *, waits: bool) -> None:
        """Append what waits until the event fits; one that would never fit goes alone. BufferFullError."""
        while not self._has_room(size):
            self._seal_fullest()
            if self._sealed and not self._has_room(size):  # without workers, what was sealed is appended
                if not waits:
                    raise BufferFullError(size, self._buffer_bytes_max)
                self._appended.wait()

    def _has_room(self, size: int) -> bool:
        return size <= self._room_bytes or not self.buffered_bytes

    def _seal_fullest(self) -> None:
        """Give the idle workers the fullest bundles. The others go on filling up: to seal all that is open each time
        that there is no room would make ever smaller records, and each costs a call.
        """
        idle = max(self._parallel_lanes, 1) - len(self._sealed)
        if idle > 0:
            free = [bundle for index, bundle in self._open.items() if index not in self._sealed]
            for bundle in nsmallest(idle, free, key=lambda bundle: bundle.room_bytes):
                self._seal(bundle.lane.index)

    def _bundle_for(self, lane: LaneIndex, attributes: Attributes, size: int) -> Bundle:
        """The open bundle of a lane that takes an event of so many bytes and of these attributes next."""
        bundle = self._open.get(lane)
        if bundle is not None:
            if size <= bundle.room_bytes and bundle.begin(attributes):
                return bundle
            self._seal(lane)
        bundle = self._open[lane] = Bundle(
            self._outgoing.lane(lane), self._seal_bundle if self._pool is None else None
        )
        bundle.begin(attributes)
        if self._pool is not None:
            self._linger(bundle)
        return bundle

    def _linger(self, bundle: Bundle) -> None:
        bundle.opened = monotonic()
        if self._lingerer is None:
            self._lingerer = Thread(target=self._seal_in_time, name="eventfabric-linger", daemon=True)
            self._lingerer.start()
        else:
            self._have_sealed_in_time(bundle)

    def _have_sealed_in_time(self, bundle: Bundle) -> None:
        """Wake the lingerer where it would look too late."""
        if bundle.opened + self._linger_seconds < self._lingers_until:
            self._due.notify()

    def _seal_in_time(self) -> None:
        """Seal bundles that have lingered. One whose lane is busy can as well take more events until that is free."""
        with self._lock:
            while not self._closed:
                free = [bundle for index, bundle in self._open.items() if index not in self._sealed]
                oldest = min((bundle.opened for bundle in free), default=inf)
                self._lingers_until = oldest + self._linger_seconds
                wait_seconds = self._lingers_until - monotonic()
                if wait_seconds > 0:
                    self._due.wait(None if wait_seconds == inf else wait_seconds)
                    continue
                for bundle in free:
                    if bundle.opened <= oldest:
                        self._seal(bundle.lane.index)

    def _seal_bundle(self, bundle: Bundle) -> None:
        with self._lock:
            if self._open.get(bundle.lane.index) is bundle:
                self._seal(bundle.lane.index)

    def _seal_all(self) -> None:
        for index in list(self._open):
            self._seal(index)

    def _seal(self, index: LaneIndex) -> Bundle | None:
        """Let a lane's open bundle be appended; returned where it has to wait for the one before it."""
        bundle = self._open.pop(index)
        waiting = self._sealed.get(index)
        if waiting is not None:
            waiting.append(bundle)
            return bundle
        self._sealed[index] = deque([bundle])
        if self._pool is None:
            self._append_waiting(bundle.lane)
        else:
            self._pool.submit(self._append_waiting, bundle.lane)
        return None

    def _append_waiting(self, lane: Lane) -> None:
        """Append a lane's sealed bundles, one after the other; after a failure those behind it are held back."""
        waiting = self._sealed[lane.index]
        while True:
            bundle = waiting[0]
            batch = bundle.batch(self._outgoing)
            try:
                bundle.appended = self._outgoing.append(lane, batch, acks=self._acks)
            except (
                BaseException
            ) as error:  # the caller's to see, through the receipt: a worker has nobody to tell
                bundle.error = error
            with self._lock:
                self._finish(waiting.popleft())
                if bundle.error is not None:
                    while waiting:
                        behind = waiting.popleft()
                        behind.error = PublishNotAttemptedError(
                            f"an earlier batch of lane {lane} was not published"
                        )
                        behind.error.__cause__ = bundle.error
                        self._finish(behind)
                goes_on = self._goes_on(lane, waiting)
                self._appended.notify_all()
            if not goes_on:
                if bundle.error is not None and not isinstance(bundle.error, Exception):
                    raise bundle.error  # an interruption is for the thread, too
                return

    def _goes_on(self, lane: Lane, waiting: deque[Bundle]) -> bool:
        """Whether this thread is to append what is next in the lane, now that one was appended."""
        opened = self._open.get(lane.index)
        if not waiting and opened is not None and self._pool is not None:
            if monotonic() >= opened.opened + self._linger_seconds:
                waiting.append(self._open.pop(lane.index))
            else:
                self._have_sealed_in_time(opened)
        if not waiting:
            del self._sealed[lane.index]
            return False
        if self._pool is None or len(self._sealed) <= self._parallel_lanes:
            return True
        self._pool.submit(self._append_waiting, lane)  # behind the lanes that wait for a worker
        return False

    def _finish(self, bundle: Bundle) -> None:
        count = len(bundle.ids)
        self._room_bytes += PAYLOAD_BYTES_MAX - bundle.room_bytes + count * ROW_MEMORY_BYTES
        if bundle.error is None:
            self._published += count
        else:
            self._failed.append(bundle)
        bundle.finish()


def _check_settings(linger_ms: float, events_max: int, buffer_bytes_max: int, when_full: str) -> None:
    """SettingError that says which is out of its bounds."""
    if not 0 <= linger_ms <= limits.PUBLISHER_LINGER_MILLISECONDS_MAX:
        raise SettingError("linger_ms", linger_ms, f"0 to {limits.PUBLISHER_LINGER_MILLISECONDS_MAX:,}")
    if type(events_max) is not int or not 1 <= events_max <= limits.RECORD_EVENTS_MAX:
        raise SettingError("events_max", events_max, f"1 to {limits.RECORD_EVENTS_MAX:,}")
    if type(buffer_bytes_max) is not int or buffer_bytes_max < 1:
        raise SettingError("buffer_bytes_max", buffer_bytes_max, "1 or more")
    if when_full not in ("wait", "raise"):
        raise SettingError("when_full", when_full, '"wait" or "raise"')
