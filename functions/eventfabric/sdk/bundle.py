"""Bundles, which are events of one lane on their way into the log; and receipts, which say where an event stands.

Usually a bundle becomes one record. It may also land in several parts, each with a place of its own; then errors carry
only the part that did not land. If its lane was split, it is cut into a piece for each lane to which its events go.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from logging import getLogger
from threading import Lock
from time import monotonic
from typing import Final, NamedTuple

from eventfabric import limits
from eventfabric.errors import IndeterminateAppendError, PublishNotAttemptedError, SealedLaneError
from eventfabric.model import Batch, BatchId, Lane, Note, Region, SequenceNumber
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


class _Piece(NamedTuple):
    """Events of a bundle that go to one lane, and what they went through as part of a batch that came to a seal."""

    lane: Lane
    indices: Sequence[int]
    """Their places in the bundle, in order."""
    batch_id: BatchId | None = None
    note: Note | None = None
    doubt: IndeterminateAppendError | None = None


class Bundle:
    """Events of one lane on their way into the log, field by field. What neighbours share is stored once."""

    __slots__ = (
        "_batch",
        "_listeners",
        "_lock",
        "_news",
        "_pieces",
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
        self._pieces: list[_Piece] = []
        """All that is left of it, in the order in which it is appended, once its lane was split; else empty."""
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
        if self._pieces:
            return sum(len(piece.indices) for piece in self._pieces)
        return len(self.ids) - self._first_left

    @property
    def next_lane(self) -> Lane:
        """The lane into which the next of its events go."""
        return self._pieces[0].lane if self._pieces else self.lane

    @property
    def doubt(self) -> IndeterminateAppendError | None:
        """Doubt about the next of its events, which may be written in another Region."""
        return self._pieces[0].doubt if self._pieces else None

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
        if self._pieces:
            return min(piece.indices[0] for piece in self._pieces)
        return max((part.indices[-1] + 1 for part in self.parts), default=0)

    @property
    def _next(self) -> Sequence[int]:
        """Places of the events that are appended next."""
        return self._pieces[0].indices if self._pieces else range(self._first_left, len(self.ids))

    def batch(self, outgoing: Outgoing) -> Batch:
        """Return the batch of the events that are appended next. Made once, by whichever thread asks first."""
        with self._lock:
            return self._packed(outgoing)

    def pack_ahead(self, outgoing: Outgoing) -> None:
        """Make its batch before it is asked for, unless its outcome is known already."""
        with self._lock:
            if not self.is_finished:
                self._packed(outgoing)

    def _packed(self, outgoing: Outgoing) -> Batch:
        if self._batch is None and self._pieces:
            self._batch = self._packed_piece(outgoing, self._pieces[0])
        elif self._batch is None:
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

    def _packed_piece(self, outgoing: Outgoing, piece: _Piece) -> Batch:
        indices = piece.indices
        of_runs = [bisect_right(self._starts, index) - 1 for index in indices]
        starts = [place for place, run in enumerate(of_runs) if not place or run != of_runs[place - 1]]
        batch = batch_of_columns(
            piece.batch_id or BatchId(outgoing.batch_id()),
            [self.ids[index] for index in indices],
            [self.keys[index] for index in indices],
            [self.contents[index] for index in indices],
            [self._runs[of_runs[start]] for start in starts],
            starts,
        )
        return batch if piece.note is None else replace(batch, note=piece.note)

    def cut(self, sealed: SealedLaneError, outgoing: Outgoing) -> None:
        """Cut what is appended next into a piece for each lane to which its events go, since their lane was split.

        All keep the id and the note of the batch that came to the seal.
        """
        batch = sealed.batch
        assert isinstance(batch, Batch)
        with self._lock:
            lane, indices, pieces = self.next_lane, self._next, self._pieces[1:]
            if batch.count < len(indices):  # only the first of them had been put, elsewhere
                pieces.insert(0, _Piece(lane, indices[batch.count :]))
            lanes: dict[Lane, list[int]] = {}
            for index in indices[: batch.count]:
                lanes.setdefault(outgoing.below(sealed, self.keys[index]), []).append(index)
            cut = [_Piece(lane, some, batch.id, batch.note, sealed.doubt) for lane, some in lanes.items()]
            self._batch, self._pieces = None, cut + pieces

    def land(self, appended: Appended) -> list[Callable[[], None]]:
        """Note where the next of its events stand: those that are left, or the first of them.

        Return the listeners of these, to be called. If none are left, `finish` does.
        """
        with self._lock:
            indices, count = self._next, appended.count
            self._batch = None
            self.parts.append(BundlePart(indices[:count], appended))
            if self._pieces:
                self._pieces[:1] = [_Piece(self.next_lane, indices[count:])] if count < len(indices) else []
            return [] if self.is_decided else self._tell(self._first_left)

    def fail(self, error: BaseException) -> None:
        """Note what prevented the append of the events that are left. Those behind an error's own were not tried."""
        indices = self._next
        behind = sorted(index for piece in self._pieces[1:] for index in piece.indices)
        batch = error.batch if isinstance(error, IndeterminateAppendError) else None
        count = batch.count if isinstance(batch, Batch) else len(indices)
        if count < len(indices) or behind:
            # The rest must not be taken for what `publish_again` settles.
            self.parts.append(BundlePart(indices[:count], error))
            indices = sorted([*indices[count:], *behind]) if behind else indices[count:]
            error = not_attempted(self.lane, error)
        self._pieces = []
        if indices:
            self.parts.append(BundlePart(indices, error))

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
