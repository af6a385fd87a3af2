"""Target append: what handlers published, on its way into other streams, one write after the other.

the ends of all lanes      read before the first write: while one is in doubt, nothing is appended to the others
lanes with `once` events   first, since only they may refuse an event
each lane's events         in the order in which they were published, as few records as possible
a lane that was split      what is left for it goes to its children, in that order
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from eventfabric import limits
from eventfabric.errors import (
    AppendError,
    BackpressureError,
    ContendedTransactionError,
    IndeterminateAppendError,
    IndeterminateTransactionError,
    LogError,
    OutcomeExpiredError,
    OutcomeUnknownError,
    PortError,
    RefusedError,
    SealedLaneError,
    ThrottledError,
    TransactionRefusedError,
)
from eventfabric.model import Batch, Lane, Record
from eventfabric.ports import Clock
from eventfabric.services.publishing.append import Appender
from eventfabric.wire.batch import Part
from eventfabric.wire.published import Published, Target


@dataclass(slots=True)
class TargetWrite:
    """One write into a lane: a record, or the transaction of one event and the note of its id (`once`)."""

    target: Target
    once: bool
    events: list[Published] = field(default_factory=list)
    part: Part = field(default_factory=Part)
    batch: Batch | None = None
    unsettled: Record | None = None
    """The record whose put had no reply. It is settled before the batch is put anywhere else."""

    def takes(self, event: Published) -> bool:
        """Tell if an event can go with this write."""
        return not (self.once or event.once) and self.part.has_room(event.row[1], event.size_bytes)

    def add(self, event: Published) -> None:
        """Add an event that it takes."""
        self.events.append(event)
        self.part.add(event.row, event.size_bytes)


def writes_for(published: Iterable[Published]) -> list[TargetWrite]:
    """Pack events into writes: each lane's in order, and those lanes first into which something is published once."""
    lanes: dict[Target, list[TargetWrite]] = {}
    for event in published:
        target = event.stream, event.lane
        writes = lanes.setdefault(target, [])
        if not (writes and writes[-1].takes(event)):
            writes.append(TargetWrite(target, event.once))
        writes[-1].add(event)
    once_first = sorted(lanes.values(), key=lambda writes: not any(write.once for write in writes))
    return [write for writes in once_first for write in writes]


class TargetAppend:
    """Writes that are carried out one by one. `landed`: events that the last `run` appended, or found to stand there.

    Where `run` fails it may be called again, and goes on with what failed.
    """

    def __init__(
        self,
        writes: list[TargetWrite],
        *,
        clock: Clock,
        lane_of: Callable[[Published], Lane],
        appender_of: Callable[[str], Appender],
        batch_of: Callable[[Part], Batch],
        append_once: Callable[[TargetWrite, float, bool], None],
    ) -> None:
        """`lane_of`: the lane of an event, by the seals that were met."""
        self._lane_of = lane_of
        self._writes = writes
        self._clock = clock
        self._appender_of = appender_of
        self._batch_of = batch_of
        self._append_once = append_once
        self.landed: list[Published] = []
        self.count = 0
        """Number of writes that the last run carried out."""

    @property
    def is_done(self) -> bool:
        """See services.delivery.target_streams."""
        return not self._writes

    def run(self, deadline_ms: int, *, beyond_credit: bool = False) -> None:
        """See services.delivery.target_streams."""
        self.landed, self.count = [], 0
        try:
            self._look(deadline_ms)
            while self._writes:
                # The first is tried, for a second, however late it is: a slow handler would publish nothing for ever.
                if self.count and self._seconds(deadline_ms) <= 0:
                    raise OutcomeUnknownError("publish", "the invocation's time is up")
                try:
                    self._carry_out(self._writes[0], deadline_ms, beyond_credit)
                except SealedLaneError:
                    self._cut(self._writes[0].target)
                    continue
                self.landed += self._writes.pop(0).events
                self.count += 1
        except BackpressureError as error:
            raise ThrottledError("publish", str(error)) from error
        except (AppendError, ContendedTransactionError, IndeterminateTransactionError) as error:
            raise OutcomeUnknownError("publish", str(error)) from error
        except TransactionRefusedError as error:
            raise RefusedError("publish", str(error)) from error

    def keep_next(self) -> None:
        """Forget all writes but the one that failed."""
        del self._writes[1:]

    def _seconds(self, deadline_ms: int) -> float:
        """Return the seconds for which a write may be tried."""
        return min(limits.APPEND_TIMEOUT_SECONDS, max(0.0, (deadline_ms - self._clock.now_ms()) / 1000))

    def _cut(self, target: Target) -> None:
        """Have what is left for a lane that was split go to the lanes of its events by now, in the same order."""
        writes = list[TargetWrite]()
        for write in self._writes:
            if write.target == target:
                writes += writes_for(replace(event, lane=self._lane_of(event)) for event in write.events)
            else:
                writes.append(write)
        self._writes[:] = writes

    def _look(self, deadline_ms: int) -> None:
        """Read the ends of several lanes, as far as they are not known. The lane that fails comes next."""
        looked = set[Target]()
        while True:
            left = [write for write in self._writes if write.target not in looked]
            if not left or len({write.target for write in self._writes}) < 2:
                return
            write = left[0]
            looked.add(write.target)
            stream, lane = write.target
            try:
                self._appender_of(stream).look(
                    lane, self._batch(write), timeout_seconds=self._seconds(deadline_ms)
                )
            except SealedLaneError:
                self._cut(write.target)
            except (AppendError, PortError, LogError):
                # `keep_next` keeps the first write alone: made again, it shows if this lane can be written by now.
                self._writes.sort(key=lambda other: other.target != write.target)
                raise

    def _carry_out(self, write: TargetWrite, deadline_ms: int, beyond_credit: bool) -> None:
        seconds = self._seconds(deadline_ms)
        if write.once:
            self._append_once(write, seconds, beyond_credit)
            return
        stream, lane = write.target
        try:
            self._appender_of(stream).append(
                lane,
                self._batch(write),
                unsettled=write.unsettled,
                timeout_seconds=seconds,
                beyond_credit=beyond_credit,
            )
        except IndeterminateAppendError as error:
            assert isinstance(error.record, Record), "an appender says which record it was"
            write.unsettled = error.record
            raise
        except OutcomeExpiredError as error:
            # Nobody can tell any more. At least once, a repeat is allowed, and a loss is not.
            write.unsettled = write.batch = None
            raise OutcomeUnknownError("publish", str(error)) from error

    def _batch(self, write: TargetWrite) -> Batch:
        if write.batch is None:
            write.batch = self._batch_of(write.part)
        return write.batch
