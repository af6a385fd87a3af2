"""A publisher's bundles: which are open, which are sealed, who appends them, and how much memory they take together.

Each lane has an open bundle that takes events, sealed bundles that wait, and at most one append under way, so that
the events of a key stand in the log in the order in which they were published. Once it is known that a lane was split,
its events are bundled for its children, which wait until nothing is left that was bundled for the lane itself.
"""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from heapq import nsmallest
from itertools import chain
from logging import getLogger
from math import inf
from operator import attrgetter
from queue import Empty, SimpleQueue
from threading import RLock, Thread, get_ident
from time import monotonic

from eventfabric import limits
from eventfabric.copies import when_forked
from eventfabric.errors import (
    BackpressureError,
    BufferFullError,
    CopiedProcessError,
    EventFabricError,
    NoThreadError,
    SealedLaneError,
)
from eventfabric.model import Lane, LaneIndex
from eventfabric.sdk import exits
from eventfabric.sdk.bundle import ROW_MEMORY_BYTES, Bundle, call_all, not_attempted
from eventfabric.sdk.encoded import Encoded
from eventfabric.sdk.held_lanes import HeldLanes
from eventfabric.sdk.outgoing import Outgoing
from eventfabric.sdk.pending import PendingReceipts
from eventfabric.sdk.waiting import Changes, Waiter
from eventfabric.sdk.workers import Workers
from eventfabric.wire.payload_codec import Attributes

_log = getLogger("eventfabric")
_OWNER = "this publisher"
_LOOK_AGAIN_SECONDS = 1.0
"""Time after which whoever waits checks again if an interruption left anything half done."""
_HELD_PAUSE_SECONDS = 0.05
"""Time between two looks at lanes that are held back, while one of them is being tried."""
_TURN_SECONDS = 5 * _LOOK_AGAIN_SECONDS
"""Time without such a check after which a thread that waited for room counts as interrupted."""


class Bundles:
    """Collector of events into bundles, which it has appended. Safe to use from several threads."""

    def __init__(
        self,
        outgoing: Outgoing,
        *,
        linger_seconds: float,
        events_max: int,
        buffer_bytes_max: int,
        parallel_lanes: int,
        acks: int,
        waits: bool,
    ) -> None:
        """The settings are those of the publisher, which has checked them. `waits`: `take` waits for room."""
        self._waits = waits
        self._outgoing = outgoing
        self._acks = acks
        self._linger_seconds = linger_seconds
        self._last_index = events_max - 1
        self._buffer_bytes_max = buffer_bytes_max
        # `take` enters the lock itself, and not a condition: that is C, and runs for every event.
        self._lock = RLock()
        self._changes = Changes()
        self._wake: SimpleQueue[None] = SimpleQueue()
        """Queue that wakes the lingerer. It can be put to from anywhere, even from within garbage collection."""
        self._open: dict[int, Bundle] = {}
        self._sealed: dict[int, deque[Bundle]] = {}
        self._turns: dict[int, float] = {}
        """Threads that wait for room, and when each last checked for it. They take turns: otherwise a large event could
        wait for ever while smaller ones get the room."""
        self._unclaimed: set[int] = set()
        self._behind: dict[int, Lane] = {}
        """Lanes that wait for what is left of a lane above them."""
        self._handed_on: set[int] = set()
        """Lanes that a worker was told to append, and has not begun with."""
        self._appending: dict[int, int] = {}
        """Lanes that are being appended, and by which thread."""
        self._left_to_callers: deque[Lane] = deque()
        self._held = HeldLanes(events_max)
        self._room_bytes = buffer_bytes_max
        self._published = 0
        self._failed: list[Bundle] = []
        self._closed = False
        self._is_copied = False
        self._is_abandoned = False
        self._gave_up = False
        # Without workers, appends run in the caller's thread: the local fabric bears one thread at a time.
        self._parallel_lanes = parallel_lanes
        self._pool = (
            Workers(parallel_lanes, "eventfabric-publisher", owner=_OWNER) if parallel_lanes else None
        )
        self._lingerer: Thread | None = None
        self._lingers_until = inf
        """Time at which the lingerer looks again if nobody wakes it."""
        exits.opened(self)
        when_forked(self._forget)

    def _forget(self) -> None:
        """Drop everything in a forked child: the events, and the threads that append them, are the original's."""
        self._lock = RLock()
        self._changes = Changes()
        self._closed = self._is_copied = True
        error = CopiedProcessError(_OWNER)
        for bundle in chain(self._open.values(), *self._sealed.values()):
            bundle.lose(error)
        for left in (
            self._open,
            self._sealed,
            self._turns,
            self._unclaimed,
            self._behind,
            self._handed_on,
            self._appending,
            self._left_to_callers,
            self._held,
            self._failed,
        ):
            left.clear()
        self._room_bytes = self._buffer_bytes_max
        self._pool = self._lingerer = None
        exits.closed(self)

    def _check_open(self) -> None:
        if self._is_copied:
            raise CopiedProcessError(_OWNER)
        if self._closed:
            raise EventFabricError("the publisher is closed: publish inside its with block")

    def take(
        self,
        encoded: Encoded,
        receipts: PendingReceipts,
        *,
        waits: bool | None = None,
        waits_for_credit: bool | None = None,
    ) -> None:
        """Put events into the open bundles of their lanes: all at once if there is room for all. BufferFullError."""
        if self._lingerer is None and self._pool is not None:
            self._start_lingerer()
        memory_bytes = encoded.size_bytes + len(encoded) * ROW_MEMORY_BYTES + encoded.beside_bytes
        behind: list[Bundle] = []
        with self._lock:
            fits = memory_bytes <= self._room_bytes and not self._turns
            if self._held and self._refusal(encoded):
                fits = False
            if fits:
                self._take_in(encoded, receipts, memory_bytes, behind)
        if not fits:
            if len(encoded) > 1:
                for half in encoded.halves():
                    self.take(half, receipts, waits=waits, waits_for_credit=waits_for_credit)
                return
            may_wait = self._waits if waits is None else waits
            self._take_in_turn(
                encoded, receipts, memory_bytes, behind, waits=may_wait, waits_for_credit=waits_for_credit
            )
        self._append_what_is_left()
        for bundle in behind:
            bundle.pack_ahead(self._outgoing)  # while the one before it is on the wire

    def _take_in(
        self, encoded: Encoded, receipts: PendingReceipts, memory_bytes: int, behind: list[Bundle]
    ) -> None:
        if self._closed:
            self._check_open()
        self._room_bytes -= memory_bytes
        try:
            self._put(encoded, receipts, behind)
        except BaseException:  # an interruption: no further event is taken
            self._mend()
            raise

    def _take_in_turn(
        self,
        encoded: Encoded,
        receipts: PendingReceipts,
        memory_bytes: int,
        behind: list[Bundle],
        *,
        waits: bool,
        waits_for_credit: bool | None,
    ) -> None:
        """Take an event as soon as it fits, or nothing else is held; in turn with others that wait. BufferFullError."""
        # Not in turn with others: a lane that is held back must not hold back the rest.
        self._wait_for_credit(encoded, waits=waits if waits_for_credit is None else waits_for_credit)
        me = get_ident()
        try:
            while True:
                with self._lock:
                    self._check_open()
                    self._turns[me] = monotonic()
                    if self._is_next(me) and self._has_room(memory_bytes):
                        self._take_in(encoded, receipts, memory_bytes, behind)
                        return
                    self._seal_fullest()
                    if not waits and not self._left_to_callers:
                        raise BufferFullError(memory_bytes, self._buffer_bytes_max)
                    waiter = None if self._left_to_callers else self._changes.waiter()
                self._wait(waiter)
        finally:
            with self._lock:
                self._turns.pop(me, None)
                self._changes.tell()  # the thread whose turn it is now may have room

    def _refusal(self, encoded: Encoded) -> BackpressureError | None:
        """Return why one of the events' lanes takes no more, if it is held back."""

        def waiting_in(lane: int) -> list[Bundle]:
            opened = self._open.get(lane)
            return [*self._sealed.get(lane, ()), *([opened] if opened else [])]

        lanes = (self._outgoing.lane(root, key).number for root, key, _ in encoded.places)
        return self._held.refusal(lanes, waiting_in)

    def _wait_for_credit(self, encoded: Encoded, *, waits: bool) -> None:
        """Wait until the lanes of events that are held back take more. BackpressureError."""
        while True:
            with self._lock:
                self._check_open()
                refusal = self._refusal(encoded)
                if refusal is None:
                    return
                if not waits:
                    raise refusal.with_traceback(None)
                waiter = self._changes.waiter()
            self._wait(waiter)

    def _is_next(self, thread: int) -> bool:
        """Tell if it is the thread's turn. Threads before it that do not check any more were interrupted."""
        since = monotonic() - _TURN_SECONDS
        for interrupted in [interrupted for interrupted, looked in self._turns.items() if looked < since]:
            del self._turns[interrupted]
        return next(iter(self._turns)) == thread

    def _put(self, encoded: Encoded, receipts: PendingReceipts, behind: list[Bundle]) -> None:
        """Add events to bundles; runs for every event. `behind`: gets sealed bundles that wait for one on the wire."""
        attributes, around_bytes = encoded.attributes, encoded.around_bytes
        opened, last_index = self._open, self._last_index
        bundles, indices = receipts.bundles.append, receipts.indices.append
        for (lane, key, key_bytes), event_id, content in zip(
            encoded.places, encoded.ids, encoded.contents, strict=True
        ):
            size = len(content) + key_bytes + around_bytes
            bundle = opened.get(lane)
            if bundle is None or size > bundle.room_bytes or bundle.attributes is not attributes:
                bundle = self._bundle_for(lane, key, attributes, size)
            bundle.room_bytes -= size
            contents = bundle.contents
            index = len(contents)
            contents.append(content)
            bundle.keys.append(key)
            bundle.ids.append(event_id)
            bundles(bundle)
            indices(index)
            if index >= last_index and self._seal(bundle.lane.number):
                behind.append(bundle)
        assert bundle is not None, "there is one event at least"
        bundle.beside_bytes += encoded.beside_bytes

    def _mend(self) -> None:
        """Repair what an interruption of a caller may have left half done. Harmless if nothing is."""
        self._mend_sealed()
        self._mend_open()
        sealed = chain.from_iterable(self._sealed.values())
        taken_bytes = sum(bundle.memory_bytes for bundle in chain(self._open.values(), sealed))
        self._room_bytes = self._buffer_bytes_max - taken_bytes

    def _mend_sealed(self) -> None:
        """Let go of bundles that are done, and have those that nobody appends appended."""
        for number, waiting in list(self._sealed.items()):
            while waiting and waiting[0].is_finished:
                waiting.popleft()
            if not waiting:
                del self._sealed[number]
                continue
            if self._open.get(number) is waiting[-1]:
                del self._open[number]
            lane = waiting[0].lane
            if not (
                number in self._appending
                or number in self._handed_on
                or lane in self._left_to_callers
                or self._held.rests(number)
            ):
                self._have_appended(lane)
        if self._behind:
            self._have_appended_behind()

    def _mend_open(self) -> None:
        """Drop events that were added in part, and seal bundles that are full."""
        # It is not known how far an event was added: it was not taken, and holds no memory.
        for number, bundle in list(self._open.items()):
            bundle.drop_half_event()
            if len(bundle.ids) > self._last_index:
                self._seal_one(number)

    @property
    def buffered_bytes(self) -> int:
        """Memory of events that are taken and not yet appended: their bytes, and what Python needs to hold each."""
        return self._buffer_bytes_max - self._room_bytes

    def flush(self) -> None:
        """Append all that was taken, and wait for it."""
        with self._lock:
            if self._is_copied:
                raise CopiedProcessError(_OWNER)
            self._seal_all()
            bundles = list(chain.from_iterable(self._sealed.values()))
        for bundle in bundles:
            self._wait_until(partial(attrgetter("is_finished"), bundle))

    def close(self, within_seconds: float = inf) -> tuple[list[Bundle], int]:
        """Take no more, flush, and stop. Return what failed (once), and how many events were published.

        What takes longer is left to the end of the process, which waits no longer and reports what was lost.
        """
        with self._lock:
            self._closed = True
            self._held.end_within(limits.APPEND_TIMEOUT_SECONDS)
            self._seal_all()  # under the lock that closes it: nothing that was taken before is left behind
            self._changes.tell()  # whoever waits for room stops waiting
            self._wake.put(None)
        self.finish(monotonic() + within_seconds)
        with self._lock:
            if self._sealed:
                self._gave_up = True
            else:
                self._stop()
            failed, self._failed = self._failed, []
        return failed, self._published

    def _stop(self) -> None:
        if self._pool:
            self._pool.close(0)
        exits.closed(self)

    def abandon(self) -> bool:
        """Let its threads append what is left, and end: nobody holds the publisher any more. False if it was closed."""
        if self._closed:
            return False
        self._is_abandoned = True
        if self._lingerer is None:  # nothing was taken, or nobody is there to append it
            exits.closed(self)
        self._wake.put(None)
        return True

    def hurry(self) -> None:
        """Begin to append all that was taken."""
        with self._lock:
            self._seal_all()

    def finish(self, until: float) -> None:
        """Wait until all is appended, or until `until` on the monotonic clock; not at all if this was given up."""
        self._wait_until(lambda: not self._sealed or self._gave_up, until)

    def lost(self) -> int:
        """Return the number of events that are not published, except those whose failure somebody has seen."""
        with self._lock:
            left = chain(self._open.values(), *self._sealed.values())
            failed = sum(1 for bundle in self._failed for _ in bundle.unseen())
            return failed + sum(len(bundle.ids) - bundle.landed_count for bundle in left)

    def _has_room(self, size: int) -> bool:
        return size <= self._room_bytes or not (self._open or self._sealed)

    def _wait_until(self, is_so: Callable[[], bool], until: float = inf) -> None:
        """Wait until `is_so`, or until `until` on the monotonic clock. Append meanwhile what is left to the callers."""
        while True:
            with self._lock:
                left = until - monotonic()
                if is_so() or left <= 0:
                    return
                waiter = None if self._left_to_callers else self._changes.waiter()
            self._wait(waiter, left)

    def _wait(self, waiter: Waiter | None, timeout_seconds: float = inf) -> None:
        """Wait for the next change, a while at most; without a waiter, append. Without the lock: see sdk.waiting."""
        if waiter is None:
            self._append_what_is_left()
        elif not waiter.wait(min(timeout_seconds, _LOOK_AGAIN_SECONDS)):
            with self._lock:
                self._mend()

    def _append_what_is_left(self) -> None:
        """Append what is left to the callers. Call it without the lock."""
        while self._left_to_callers:
            with suppress(IndexError):  # another caller was faster
                self._append_waiting(self._left_to_callers.popleft())

    def _seal_fullest(self) -> None:
        """Give the idle workers the fullest bundles. The others go on filling up: to seal all that is open whenever
        there is no room would make ever smaller records, and each record costs a call.
        """
        idle = max(self._parallel_lanes, 1) - len(self._sealed) + len(self._held)
        if idle > 0:
            free = [bundle for number, bundle in self._open.items() if number not in self._sealed]
            for bundle in nsmallest(idle, free, key=lambda bundle: bundle.room_bytes):
                self._seal(bundle.lane.number)

    def _bundle_for(self, root: LaneIndex, key: str, attributes: Attributes, size: int) -> Bundle:
        """Return the open bundle that can take an event of a key, of `size` bytes and with these attributes, next."""
        lane = self._outgoing.lane(root, key)
        for generation in range(lane.generation):
            above = lane.above(generation).number
            if above in self._open:  # it was split meanwhile, and takes nothing more
                self._seal(above)
        bundle = self._open.get(lane.number)
        if bundle is not None:
            takes = size <= bundle.room_bytes
            if takes and (bundle.attributes is attributes or bundle.begin(attributes)):
                return bundle
            self._seal(lane.number)
        bundle = Bundle(lane, self._hasten if self._pool is None else None)
        bundle.begin(attributes)
        bundle.opened = monotonic()
        if self._pool is not None:
            # Before the bundle is there: once woken, the lingerer waits for the lock.
            self._have_sealed_in_time(bundle)
        self._open[lane.number] = bundle
        return bundle

    def _start_lingerer(self) -> None:
        with self._lock:
            if self._lingerer is None and not self._closed:
                lingerer = Thread(target=self._linger, name="eventfabric-linger", daemon=True)
                try:
                    lingerer.start()
                except RuntimeError as error:
                    raise NoThreadError(_OWNER) from error
                self._lingerer = lingerer

    def _have_sealed_in_time(self, bundle: Bundle) -> None:
        """Wake the lingerer if it would look too late for this bundle."""
        if bundle.opened + self._linger_seconds < self._lingers_until:
            self._wake.put(None)

    def _linger(self) -> None:
        """Seal bundles that have lingered. While its lane is busy, a bundle may as well take more events."""
        mended = monotonic()
        while not (self._closed or self._is_abandoned):
            with self._lock:
                if monotonic() - mended > _LOOK_AGAIN_SECONDS:
                    self._mend()
                    mended = monotonic()
                wait_seconds = min(self._seal_lingered(), self._try_held())
            if wait_seconds > 0:
                with suppress(Empty):
                    self._wake.get(timeout=None if wait_seconds == inf else wait_seconds)
            self._append_what_is_left()
        if not self._closed:
            self._close_abandoned()

    def _seal_lingered(self) -> float:
        """Seal the bundles that have lingered. Return how long to wait until the next look; 0 or less: not at all."""
        free = [bundle for number, bundle in self._open.items() if number not in self._sealed]
        oldest = min((bundle.opened for bundle in free), default=inf)
        self._lingers_until = oldest + self._linger_seconds
        wait_seconds = self._lingers_until - monotonic()
        if wait_seconds <= 0:
            for bundle in free:
                if bundle.opened <= oldest:
                    self._seal(bundle.lane.number)
        return min(wait_seconds, _LOOK_AGAIN_SECONDS) if self._sealed else wait_seconds

    def _try_held(self) -> float:
        """Have lanes tried again that were held back for long enough. Return how long to wait until the next look."""
        pause_seconds = self._held.pause_seconds()
        if pause_seconds <= 0:
            self._mend_sealed()
            return _HELD_PAUSE_SECONDS
        return pause_seconds

    def _close_abandoned(self) -> None:
        """Close for a publisher that nobody holds any more, and log what was lost: nobody else would see it."""
        failed, _ = self.close()
        lost = sum(len(bundle.ids) - bundle.landed_count for bundle in failed)
        if lost:
            _log.error(
                "%d events of a publisher that was not closed were not published",
                lost,
                exc_info=failed[0].error,
            )

    def _hasten(self, bundle: Bundle) -> None:
        with self._lock:
            if self._open.get(bundle.lane.number) is bundle:
                self._seal(bundle.lane.number)
        self._append_what_is_left()

    def _seal_all(self) -> None:
        for number in list(self._open):
            self._seal(number)

    def _seal(self, number: int) -> bool:
        """Let a lane's open bundle be appended. Return True if it has to wait for the one before it."""
        try:
            return self._seal_one(number)
        except BaseException:  # an interruption
            self._mend()
            raise

    def _seal_one(self, number: int) -> bool:
        bundle = self._open[number]
        waiting = self._sealed.setdefault(number, deque())
        waiting.append(bundle)
        del self._open[number]
        if len(waiting) > 1:
            return True
        self._have_appended(bundle.lane)
        return False

    def _have_appended(self, lane: Lane) -> None:
        """Have a worker append the sealed bundles of a lane; if there is none, leave them to the callers.

        They wait for what is left of a lane above, if anything is.
        """
        if any(lane.above(generation).number in self._sealed for generation in range(lane.generation)):
            self._behind[lane.number] = lane
            return
        self._behind.pop(lane.number, None)
        if not self._is_given_to_a_worker(lane):
            self._unclaimed.add(lane.number)
            self._left_to_callers.append(lane)

    def _have_appended_behind(self) -> None:
        """Have those lanes appended that waited for one above which has nothing left."""
        behind, self._behind = self._behind, {}
        for lane in behind.values():
            if lane.number in self._sealed:
                self._have_appended(lane)

    def _is_given_to_a_worker(self, lane: Lane) -> bool:
        if self._pool is not None:
            self._unclaimed.add(lane.number)
            try:
                self._pool.submit(self._append_waiting, lane)
            except EventFabricError:  # it is closed, or the process can start no thread
                self._unclaimed.discard(lane.number)
            else:
                self._handed_on.add(lane.number)
                return True
        return False

    def _append_waiting(self, lane: Lane) -> None:
        """Append a lane's sealed bundles one after the other. After a failure, those behind it are held back."""
        try:
            if self._claim(lane):
                self._append_one_after_another(lane, self._sealed[lane.number])
        except BaseException:  # meant for this thread, and raised again
            with self._lock:
                if self._appending.get(lane.number) == get_ident():
                    del self._appending[lane.number]
                    self._mend()
            raise

    def _claim(self, lane: Lane) -> bool:
        """Claim a lane for this thread to append. False if another thread did."""
        with self._lock:
            if lane.number not in self._unclaimed:
                return False
            self._unclaimed.remove(lane.number)
            self._handed_on.discard(lane.number)
            self._appending[lane.number] = get_ident()
            return True

    def _append_one_after_another(self, lane: Lane, waiting: deque[Bundle]) -> None:
        interruption: BaseException | None = None
        goes_on = True
        while goes_on:
            bundle = waiting[0]
            if not bundle.is_decided:  # else interrupted right after the append
                interruption = self._append(bundle)
            with self._lock:
                if interruption is None and not bundle.is_decided:  # it is held back
                    self._unclaim(lane)
                    self._wake.put(None)
                    return
                self._held.let_go(lane.number)
                listeners = self._finish_first(lane, waiting)
                goes_on = self._goes_on(lane, waiting)
                if not goes_on:
                    self._unclaim(lane)
                self._changes.tell()
            interruption = call_all(lane, listeners) or interruption
        if interruption is not None:
            raise interruption

    def _unclaim(self, lane: Lane) -> None:
        """Let go of a lane that this thread appended. Call it with the lock."""
        del self._appending[lane.number]
        if self._gave_up and not self._sealed and self._pool is not None:
            self._pool.close(0)  # failures are reported at the end of the process

    def _finish_first(self, lane: Lane, waiting: deque[Bundle]) -> list[Callable[[], None]]:
        """Finish the bundle that was tried; if it failed, also those behind it. Return their listeners, as `_finish`.

        Call it with the lock.
        """
        bundle = waiting[0]
        listeners = self._finish(bundle)
        waiting.popleft()  # not before: nobody would be told about a bundle that is nowhere
        if bundle.error is not None:
            listeners += self._fail_all(waiting, not_attempted(lane, bundle.error))
            for number, child in list(self._behind.items()):
                if child.generation > lane.generation and child.above(lane.generation) == lane:
                    listeners += self._fail_all(self._sealed[number], not_attempted(lane, bundle.error))
                    del self._sealed[number], self._behind[number]
        return listeners

    def _fail_all(self, waiting: deque[Bundle], error: BaseException) -> list[Callable[[], None]]:
        """Give up bundles that were not tried. Return their listeners. Call it with the lock."""
        listeners: list[Callable[[], None]] = []
        while waiting:
            waiting[0].fail(error)
            listeners += self._finish(waiting[0])
            waiting.popleft()
        return listeners

    def _append(self, bundle: Bundle) -> BaseException | None:
        """Append a bundle, part by part, as far as there is credit. Return the interruption of that, if any, for the
        thread to raise.
        """
        until_ms = self._outgoing.steady_ms() + 1000 * limits.APPEND_TIMEOUT_SECONDS
        try:
            while not bundle.is_decided:
                batch = bundle.batch(self._outgoing)
                try:
                    appended = self._outgoing.append(
                        bundle.next_lane, batch, acks=self._acks, is_atomic=False, doubt=bundle.doubt
                    )
                    if (interruption := call_all(bundle.lane, bundle.land(appended))) is not None:
                        raise interruption
                except SealedLaneError as sealed:
                    bundle.cut(sealed, self._outgoing)
                except BackpressureError as error:
                    if self._pool is None and self._outgoing.steady_ms() < until_ms:
                        self._outgoing.wait(error.retry_after)  # nobody else would append it
                    elif self._is_held_back(bundle, error):
                        return None
                    else:
                        raise
        except BaseException as error:  # told through the receipt: a worker has nobody to tell
            bundle.fail(error)
            return None if isinstance(error, Exception) else error
        return None

    def _is_held_back(self, bundle: Bundle, error: BackpressureError) -> bool:
        """Have a bundle wait for credit, and with it what is behind it. False if it must not."""
        with self._lock:
            return self._pool is not None and self._held.hold(bundle.lane.number, error)

    def _goes_on(self, lane: Lane, waiting: deque[Bundle]) -> bool:
        """Tell if this thread is to append the next bundle of the lane, now that one was appended."""
        opened = self._open.get(lane.number)
        if not waiting and opened is not None and self._pool is not None:
            if monotonic() >= opened.opened + self._linger_seconds:
                waiting.append(self._open.pop(lane.number))
            else:
                self._have_sealed_in_time(opened)
        if not waiting:
            del self._sealed[lane.number]
            if self._behind:
                self._have_appended_behind()
            return False
        # Otherwise the lane goes behind those that wait for a worker.
        return len(self._sealed) - len(self._held) <= self._parallel_lanes or not self._is_given_to_a_worker(
            lane
        )

    def _finish(self, bundle: Bundle) -> list[Callable[[], None]]:
        """Count the bundle's events as done. Return the listeners, to be called once the lock is free."""
        self._room_bytes += bundle.memory_bytes
        self._published += bundle.landed_count
        if bundle.error is not None:
            self._failed.append(bundle)
        return bundle.finish()
