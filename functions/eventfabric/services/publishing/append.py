"""Append: put a batch at the tail of its lane exactly once, whatever happens to the replies.

tail known? ── no ─> read it
    │
    v
put at tail if nobody wrote there ── written ─────────────> done
    ^                             ── there: my record ────> done, an earlier try landed
    │                             ── there: another's ────> its end is the next tail
    │                             ── there: a seal ───────> the lane has ended: SealedLaneError
    │                             ── throttled ───────────> the SAME record again
    │                             ── no reply ────────────> the SAME record again, never at another sequence
    └─ back-off with jitter ──────┘
"""

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from eventfabric import limits
from eventfabric.deadline import call_within, seconds_left
from eventfabric.errors import (
    BackpressureError,
    ContendedAppendError,
    IndeterminateAppendError,
    OutcomeUnknownError,
    RefusedError,
    SealedLaneError,
    ThrottledError,
)
from eventfabric.model import Batch, BatchId, Lane, Record, SequenceNumber, Tail, record_at, to_ms
from eventfabric.ports import Clock, Entropy, Log
from eventfabric.services.lanes.tree import Seals
from eventfabric.services.publishing.gates import CreditsOf, ungated
from eventfabric.services.publishing.lane_ends import Known, LaneEnds
from eventfabric.services.publishing.tries import Tries
from eventfabric.services.publishing.turns import Turns

if TYPE_CHECKING:
    from eventfabric.services.publishing.credits import KnownCredits

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Appended:
    """The place of appended events in their lane: the first of them is at `sequence`."""

    lane: Lane
    sequence: SequenceNumber
    count: int


class Appender:
    """Appender to the lanes of one stream in one Region.

    Invariant: while the outcome of a put is unknown, its batch is put at no other sequence.

    It remembers the tails that it saw. A wrong memory costs one refused put, and never writes a wrong record. In a lane
    in which other publishers were faster lately, it reads the tail first until its memory is right again, because a
    read is cheaper than a refused put. Threads may share it: those that append to one lane take turns.
    """

    def __init__(
        self,
        log: Log,
        *,
        stream: str,
        clock: Clock,
        entropy: Entropy,
        retention_seconds: int | None = None,
        timeout_seconds: float = limits.APPEND_TIMEOUT_SECONDS,
        known: Known | None = None,
        credits: CreditsOf = ungated,
        seals: Seals | None = None,
    ) -> None:
        """`known`: what reconciliation remembers of a lane, asked if the log leaves doubt; None: nobody remembers.

        `credits`: what is known of the credits of the stream; None while no subscription gates it. `seals`: those met
        so far in its lanes in the Region; the appender adds to them.
        """
        self._seals = Seals() if seals is None else seals
        self._ends = LaneEnds(
            log, clock=clock, expires=retention_seconds is not None, known=known, seals=self._seals
        )
        self.stream = stream
        self._log = log
        self._clock = clock
        self._entropy = entropy
        self._retention_seconds = retention_seconds
        self._timeout_ms = int(timeout_seconds * 1000)
        self._tails: dict[Lane, Tail] = {}
        self._contended: set[Lane] = set()
        self._credits = credits
        self._held: dict[Lane, Tail] = {}
        """Tails of lanes at which there was no credit."""
        self._turns = Turns()

    def append(
        self,
        lane: Lane,
        batch: Batch,
        *,
        unsettled: Record | None = None,
        timeout_seconds: float | None = None,
        is_atomic: bool = True,
        beyond_credit: bool = False,
    ) -> Record:
        """Append the batch, and return the record that holds it.

        Args:
            lane: the lane of every event of the batch. If a lane above it was not split here, that one takes it.
            batch: the batch to append.
            unsettled: the record whose put had no reply, from an IndeterminateAppendError of this very batch. It is
                settled first, so that the batch stands in the log once. Without it, a batch that is given twice stands
                there twice.
            timeout_seconds: default the appender's.
            is_atomic: the batch is appended as a whole, or not at all. Otherwise, if there is too little credit for
                all of it, the record holds only its first events, as its count says; so does the batch of an error
                of type IndeterminateAppendError.
            beyond_credit: append it also where subscriptions hold the lane's producers back.

        Raises:
            BackpressureError: not written; subscriptions hold the lane's producers back.
            ContendedAppendError: not written; other publishers, or throttling, were in the way until the time was up.
            IndeterminateAppendError: no reply in time; it may be written.
            RefusedError: not written; the service refuses such puts.
            SealedLaneError: not written; the lane was split, so that each event goes to the child of its key.
            UncertainTailError: not written; the item at the lane's end cannot be believed.
            OutcomeExpiredError: `unsettled` would have expired by now, so nothing tells if it was written.
        """
        timeout_ms = self._timeout_ms if timeout_seconds is None else int(timeout_seconds * 1000)
        timeout_ms = max(0, int(min(timeout_ms, 1000 * seconds_left())))
        until_ms = self._clock.steady_ms() + timeout_ms
        if unsettled is not None:
            lane = unsettled.lane
        elif not lane.is_root or self._seals:
            lane = self._taking(lane, batch, timeout_ms=timeout_ms, until_ms=until_ms)
        turn, inside = self._turns.of(lane), Lock()
        # `inside` is released even if a signal's handler ends the append between any two lines; see turns.py.
        with inside:
            try:
                has_turn = turn.take(inside, timeout_ms / 1000)
                tried = _Try(self, lane, batch, unsettled, timeout_ms=timeout_ms, until_ms=until_ms)
                # A batch that may stand elsewhere must be recognised there.
                tried.is_atomic = is_atomic or batch.note is not None
                tried.credits = ungated if beyond_credit else self._credits
                if not has_turn:
                    raise tried.failure(None)
                left_seconds = max(0.0, (until_ms - self._clock.steady_ms()) / 1000)
                return call_within(left_seconds + limits.LAST_TRY_SECONDS, tried.run)
            finally:
                turn.pass_on()

    def _taking(self, lane: Lane, batch: Batch, *, timeout_ms: int, until_ms: int) -> Lane:
        """Return the lane that takes a batch: this one or one above it. SealedLaneError if it was split."""
        tried = _Try(self, lane, batch, None, timeout_ms=timeout_ms, until_ms=until_ms)
        above = [lane.above(generation) for generation in range(lane.generation)]
        unsplit = next((other for other in above if not self._seals.is_split(other)), None)
        if unsplit is not None and unsplit in self._tails:
            return unsplit  # which was not split when this process last saw it
        if unsplit is not None:
            lane = call_within(timeout_ms / 1000 + limits.LAST_TRY_SECONDS, tried.taking)
        if self._seals.is_split(lane):
            raise tried.sealed()
        return lane

    def look(self, lane: Lane, batch: Batch, *, timeout_seconds: float) -> None:
        """Read where a batch would be put, unless this process knows; so a doubt shows before anything is put.

        Raises UncertainTailError, ContendedAppendError, RefusedError, SealedLaneError.
        """
        timeout_ms = int(timeout_seconds * 1000)
        until_ms = self._clock.steady_ms() + timeout_ms
        if not lane.is_root or self._seals:
            lane = self._taking(lane, batch, timeout_ms=timeout_ms, until_ms=until_ms)
        if lane not in self._tails:
            tried = _Try(self, lane, batch, None, timeout_ms=timeout_ms, until_ms=until_ms)
            tail = call_within(timeout_seconds + limits.LAST_TRY_SECONDS, tried.read_tail)
            if tail.is_sealed:
                raise tried.sealed()
            self._tails[lane] = tail

    def saw(self, record: Record) -> None:
        """Remember a record that somebody else in this process appended, as where its lane ends."""
        self._tails[record.lane] = record.tail

    def check_credit(self, lane: Lane, tail: Tail | None) -> None:
        """Raise BackpressureError if there is no credit where a lane ended when this process last saw it. PortError.

        `tail`: where others of this process saw it end.
        """
        credits, tails = self._credits(), (tail, self._held.get(lane), self._tails.get(lane))
        sequence = max((own.sequence for own in tails if own is not None), default=None)
        if credits is not None and sequence is not None:
            credits.fitting(lane, 1, sequence, is_atomic=True, is_alone=True)


class _Try:
    """One append, from its first put to its outcome."""

    def __init__(
        self,
        appender: Appender,
        lane: Lane,
        batch: Batch,
        unsettled: Record | None,
        *,
        timeout_ms: int,
        until_ms: int,
    ) -> None:
        self._appender = appender
        self._lane = lane
        self._batch = batch
        self._put_batch = batch
        """The batch, or its first events, as they are put next."""
        self.is_atomic = True
        self.credits = appender._credits
        self._unsettled = unsettled
        self._memory: Tail | None = None
        """The lane's tail as this process last saw it."""
        self._tail: Tail | None = None
        """The tail at which the batch is put next; None: it is to be read."""
        self._timeout_ms = timeout_ms
        self._tries = Tries(appender._clock, appender._entropy, until_ms=until_ms)

    def run(self) -> Record:
        """Put the batch until its outcome is known or the time is up. Return the record that holds it."""
        self._memory = self._remembered()
        # In a lane in which other publishers were faster lately, the memory is not tried: a read is cheaper.
        self._tail = None if self._lane in self._appender._contended else self._memory
        self._tail = self._still(self._appender._held.pop(self._lane, None)) or self._tail
        record = self._unsettled
        while True:
            record = record or self._record()
            if self._is_old(record):
                self._tail = record = None
                self._wait(None)
                continue
            try:
                occupant = self._put(record)
            except OutcomeUnknownError as error:
                # The put may have landed: until that is known, the batch is put at no other sequence.
                self._unsettled = record
                self._wait(error)
                continue
            except ThrottledError as error:
                # This says nothing of an earlier put of this record without a reply, so `_unsettled` stays as
                # it is. So does the record: if it is found there, its whole content shows that it is ours.
                self._wait(error)
                continue
            if occupant is None or occupant.holds(record):
                landed = occupant or record
                self._appender._tails[self._lane] = landed.tail
                return landed
            # Another's record stands there, so no put of ours can land there any more: try the next place.
            self._unsettled = record = None
            self._give_way(occupant)

    def _record(self) -> Record:
        """Make the record for the lane's tail, which is read if it is not known."""
        if self._tail is None:
            self._tail = self.read_tail()
            # Nobody wrote here since this process did: its memory is right again.
            if self._tail == self._memory:
                self._appender._contended.discard(self._lane)
        if self._tail.is_sealed:
            self._appender._seals.learn(self._lane, self._tail)
            raise self.sealed()
        self._put_batch = self._batch
        record = self._record_at(self._tail)
        credits = self.credits()
        if credits is not None:
            count = self._fitting(credits, self._tail)
            if count < record.count:
                # Only where a subscription gates the stream.
                from eventfabric.wire.batch import batch_of_some

                batch_id = BatchId(self._appender._entropy.bytes(16))
                self._put_batch = batch_of_some(record, range(count), batch_id)
                record = self._record_at(self._tail)
        return record

    def sealed(self) -> SealedLaneError:
        """Return the error that says that the lane was split."""
        return SealedLaneError(self._appender.stream, self._lane, self._lane.children, self._batch)

    def _fitting(self, credits: "KnownCredits", tail: Tail) -> int:
        """Return how many events there is credit for at a tail. BackpressureError if for none."""
        is_alone = self._memory is not None and self._memory.sequence == tail.sequence
        while True:
            try:
                return credits.fitting(
                    self._lane,
                    self._batch.count,
                    tail.sequence,
                    is_atomic=self.is_atomic,
                    is_alone=is_alone,
                )
            except (OutcomeUnknownError, ThrottledError) as error:  # of a read
                self._wait(error)
            except BackpressureError:
                # Whoever comes again needs no read to learn where the lane ends.
                self._appender._held[self._lane] = tail
                if self._memory is not None:
                    self._appender._tails[self._lane] = self._memory
                raise

    def _record_at(self, tail: Tail) -> Record:
        return record_at(
            tail,
            self._lane,
            self._put_batch,
            now_ms=self._appender._clock.now_ms(),
            retention_seconds=self._appender._retention_seconds,
        )

    def _is_old(self, record: Record) -> bool:
        """Tell if others may since have taken the record's place, been delivered, and expired. OutcomeExpiredError."""
        expires = self._appender._retention_seconds is not None
        return expires and self._tries.are_old((record,), are_unsettled=self._unsettled is not None)

    def _put(self, record: Record) -> Record | None:
        """Put the record if nothing stands in its place; else return what stands there."""
        try:
            return self._appender._log.append(record)
        except ThrottledError:
            raise  # it is a refusal that says: later
        except RefusedError as error:
            if self._unsettled is None:
                raise
            # This put is refused, but an earlier one may have landed.
            raise self.failure(error) from error

    def _give_way(self, occupant: Record) -> None:
        """Go on after another's record, if it can be believed; else, and every few conflicts, have the tail read."""
        self._appender._contended.add(self._lane)
        # At once, and without a longer wait each time: whoever waits finds its place taken again.
        reads = self._tries.lost_again()
        self._tail = occupant.tail if not reads and self._believes(occupant) else None
        if reads:
            self._wait(None, most_seconds=limits.APPEND_CONFLICT_WAIT_MAX_SECONDS)

    def _remembered(self) -> Tail | None:
        """Return the tail as this process last saw it, unless records put there since may have expired again."""
        return self._still(self._appender._tails.pop(self._lane, None))

    def _still(self, tail: Tail | None) -> Tail | None:
        """Return a tail that was seen, unless records put there since may have expired again."""
        retention_seconds = self._appender._retention_seconds
        if tail is None or (retention_seconds is None and tail.expires_at is None):
            return tail
        # By then everything after the tail may have expired, so that its place seems free but was taken.
        expires_seconds = tail.expires_at or to_ms(tail.time) // 1000 + (retention_seconds or 0)
        now_seconds = self._appender._clock.now_ms() // 1000
        return tail if now_seconds < expires_seconds - limits.EXPIRY_MARGIN_SECONDS else None

    def _believes(self, occupant: Record) -> bool:
        """Tell if a record that was in the way continues the lane."""
        tail = self._tail
        if tail is None or tail.sequence != occupant.sequence:  # an earlier append's place was being settled
            tail = self._read(lambda: self._appender._log.tail(self._lane, before=occupant.sequence))
        return tail.sequence == occupant.sequence and occupant.extends(tail.chain)

    def read_tail(self) -> Tail:
        """Read where the batch would be put."""
        return self._read(lambda: self._appender._ends.tail(self._lane))

    def taking(self) -> Lane:
        """Read which lane takes the batch: its own or, if that was not split off here, one above it."""
        return self._read(lambda: self._appender._ends.taking(self._lane))

    def _read(self, read: Callable[[], T]) -> T:
        while True:
            try:
                return read()
            except (OutcomeUnknownError, ThrottledError) as error:
                self._wait(error)

    def _wait(
        self, cause: Exception | None, *, most_seconds: float = limits.APPEND_BACKOFF_MAX_SECONDS
    ) -> None:
        """Back off with full jitter, or give up when the time is up."""
        if self._tries.are_over:
            raise self.failure(cause) from cause
        self._tries.back_off(most_seconds)

    def failure(self, cause: Exception | None) -> ContendedAppendError | IndeterminateAppendError:
        """Return the error that says what is known of the batch when the time is up."""
        if self._unsettled is not None:
            return IndeterminateAppendError(
                self._appender.stream, self._unsettled, self._put_batch, cause=cause
            )
        reason = cause or "other publishers wrote there first, each time"
        return ContendedAppendError(
            f"batch {self._batch.id.hex()} is not in lane {self._lane} after {self._timeout_ms} ms: {reason}",
            lane=self._lane,
            batch=self._batch,
        )
