"""Route of a batch into the log when a Region may be lost: the first Region that answers takes it.

A Region that gave no reply in time is left alone for a while; then one batch tries it again. A batch whose put had no
reply goes to the next Region with a note of where it may also stand, so that delivery hands out one of the two copies.
A record can carry only one note, so a noted batch without a reply goes no further.

Each Region's lanes are split for themselves. Where a batch comes to the seal of a lane, its caller cuts it, and appends
each part to the lane of its keys there. The parts keep what the batch went through: its id, its note and its doubt.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from logging import getLogger
from threading import Lock

from eventfabric import limits
from eventfabric.copies import when_forked
from eventfabric.deadline import Moment
from eventfabric.errors import (
    AppendError,
    BackpressureError,
    ContendedAppendError,
    DivergenceError,
    IndeterminateAppendError,
    OutcomeUnknownError,
    PortError,
    SealedLaneError,
    UnconfirmedAppendError,
)
from eventfabric.model import Batch, Lane, Note, Record, Region
from eventfabric.ports import Clock, Log
from eventfabric.services.lanes.tree import LaneTree
from eventfabric.services.publishing.append import Appender

_log = getLogger("eventfabric")


class Health:
    """Health of Regions: which of them answer, as far as this process has seen. Threads may share it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._begin()
        when_forked(self._begin)
        self._away: dict[Region, Moment] = {}

    def _begin(self) -> None:
        self._lock = Lock()

    @property
    def away(self) -> frozenset[Region]:
        """Regions that gave no reply when they were last tried."""
        return frozenset(self._away)

    def in_order(self, regions: Sequence[Region]) -> list[Region]:
        """Return those that answer first, else as given. One that is due for another try counts as answering, once."""
        if not self._away:
            return list(regions)
        now = Moment.of(self._clock)
        with self._lock:
            for region in regions:
                tried = self._away.get(region)
                if tried is not None and not tried.is_within(limits.REGION_PAUSE_SECONDS, now):
                    self._away[region] = now
                    away = self._away.keys() - {region}
                    break
            else:
                away = set(self._away)
            return sorted(regions, key=lambda region: region in away)

    def replied(self, region: Region) -> None:
        """Note that a batch was appended there."""
        if region in self._away:
            with self._lock:
                if self._away.pop(region, None) is not None:
                    _log.warning("Region %s answers again", region)

    def silent(self, region: Region) -> None:
        """Note that a batch got no reply there in time."""
        with self._lock:
            if region not in self._away:
                _log.warning(
                    "Region %s gives no reply: Regions for failover, if any, come first for a while", region
                )
            self._away[region] = Moment.of(self._clock)


class Route:
    """Appender to the lanes of one stream. `regions`: where, in order of preference; `others`: where else it is kept.

    Threads may share it as they may share an Appender.
    """

    def __init__(
        self,
        stream: str,
        regions: Sequence[Region],
        *,
        others: Sequence[Region],
        appender_of: Callable[[Region], Appender],
        log_of: Callable[[Region], Log],
        health: Health,
        tree_of: Callable[[Region], LaneTree],
    ) -> None:
        """`tree_of`: the lanes of a Region, as far as they were met."""
        self.tree_of = tree_of
        self.stream = stream
        self._regions = tuple(regions)
        self._every = (*regions, *others)
        self._appender_of = appender_of
        self._log_of = log_of
        self._health = health

    def append(
        self,
        lane: Lane,
        batch: Batch,
        *,
        unsettled: Record | None = None,
        acks: int = 1,
        is_atomic: bool = True,
        doubt: IndeterminateAppendError | None = None,
    ) -> Record:
        """Append the batch to the lane, or to that of its keys in the next Region that answers.

        Args:
            lane: the lane of every event of the batch.
            batch: what to append.
            unsettled: as in Appender.append; settled first, in its own Region.
            acks: number of Regions that must have the record before this returns, 1 or 2.
            is_atomic: as in Appender.append.
            doubt: that of the SealedLaneError, for part of a batch that was cut.

        Raises as Appender.append, and UnconfirmedAppendError. An error says where the batch may be, in all Regions.
        SealedLaneError: nothing is written where a lane of its keys was split; it says in which Region that is. It has
        the batch as it is to be cut, and the doubt that goes with each part.
        """
        record = self._appended(lane, batch, unsettled, acks, is_atomic=is_atomic, doubt=doubt)
        if acks > 1:
            if record.count < batch.count:
                batch = Batch(record.batch_id, record.count, record.types, record.payload)
            self._confirm(record, batch, acks)
        return record

    def _appended(
        self,
        lane: Lane,
        batch: Batch,
        unsettled: Record | None,
        acks: int,
        *,
        is_atomic: bool,
        doubt: IndeterminateAppendError | None,
    ) -> Record:
        failure: AppendError | PortError | BackpressureError | None = self._lasting_doubt(
            batch, unsettled, acks, doubt
        )
        for region, timeout_seconds in _with_patience(self._order(batch, unsettled)):
            try:
                return self._append_in(region, lane, batch, unsettled, timeout_seconds, is_atomic=is_atomic)
            except IndeterminateAppendError as error:
                put = error.record
                assert isinstance(put, Record)
                assert isinstance(error.batch, Batch)
                batch = error.batch  # or the first events of it
                failure = IndeterminateAppendError(self.stream, put, batch, cause=error.__cause__, acks=acks)
                if batch.note is not None:
                    break
                batch = replace(batch, note=Note(put.lane, put.sequence))
            except SealedLaneError as error:
                _add_to(error, batch, failure)
                raise
            except (ContendedAppendError, PortError, BackpressureError) as error:
                if failure is None and not _is_outage(error):
                    raise  # no reason to use another Region
                failure = failure or error
            unsettled = None
        assert failure is not None, "a stream is in a Region at least"
        raise failure

    def _lasting_doubt(
        self, batch: Batch, unsettled: Record | None, acks: int, doubt: IndeterminateAppendError | None
    ) -> IndeterminateAppendError | None:
        """Return the doubt about a noted copy, which lasts whatever becomes certain about the unsettled one.

        `doubt`: that about the whole batch of which this one is a part.
        """
        if doubt is not None:
            is_noted_there = batch.note is not None and batch.note.lane == doubt.record.lane
            part = replace(batch, note=None) if is_noted_there else batch
            return IndeterminateAppendError(
                self.stream, doubt.record, part, cause=doubt.__cause__, acks=doubt.acks
            )
        if unsettled is None or batch.note is None:
            return None
        return IndeterminateAppendError(self.stream, unsettled, batch, acks=acks)

    def _append_in(
        self,
        region: Region,
        lane: Lane,
        batch: Batch,
        unsettled: Record | None,
        timeout_seconds: float | None,
        *,
        is_atomic: bool,
    ) -> Record:
        """Append in one Region, and note if that answers."""
        try:
            record = self._appender_of(region).append(
                lane if lane.origin == region else replace(lane, origin=region),
                batch,
                unsettled=unsettled,
                timeout_seconds=timeout_seconds,
                is_atomic=is_atomic,
            )
        except (IndeterminateAppendError, ContendedAppendError, PortError) as error:
            if _is_outage(error):
                self._health.silent(region)
            raise
        except SealedLaneError:
            self._health.replied(region)
            raise
        self._health.replied(region)
        return record

    def _order(self, batch: Batch, unsettled: Record | None) -> list[Region]:
        """Return the Regions to try. What is unsettled is settled in its own Region first, even from another Region."""
        if unsettled is None:
            regions = self._health.in_order(self._regions)
            if batch.note is None:
                return regions
            # Part of a batch that was cut: never a second time in the Region where it may stand.
            return [region for region in regions if region != batch.note.lane.origin]
        first = unsettled.lane.origin
        if batch.note is not None:
            return [first]
        return [first, *(region for region in self._health.in_order(self._regions) if region != first)]

    def _confirm(self, record: Record, batch: Batch, acks: int) -> None:
        """Put the same record in another Region, as replication does a little later."""
        others = [region for region in self._every if region != record.lane.origin]
        cause: PortError | None = None
        for region in self._health.in_order(others):
            try:
                occupant = self._log_of(region).append(record)
            except PortError as error:
                cause = error
                if isinstance(error, OutcomeUnknownError):
                    self._health.silent(region)
                continue
            if occupant is not None and occupant.chain != record.chain:
                raise DivergenceError(record.lane, record.sequence, f"is another record in {region}")
            self._health.replied(region)
            return
        raise UnconfirmedAppendError(self.stream, record, batch, cause=cause, acks=acks) from cause


def _is_outage(error: AppendError | PortError | BackpressureError) -> bool:
    """Tell if an append failed because its Region gave no reply."""
    return isinstance(error, IndeterminateAppendError) or isinstance(error.__cause__, OutcomeUnknownError)


def _add_to(
    sealed: SealedLaneError, batch: Batch, failure: AppendError | PortError | BackpressureError | None
) -> None:
    """Add all that the parts of a batch keep to the error that says where it came to a seal."""
    sealed.batch = batch
    sealed.doubt = failure if isinstance(failure, IndeterminateAppendError) else None


def _with_patience(order: Sequence[Region]) -> Iterator[tuple[Region, float | None]]:
    """Yield each Region to try with the time to wait for it; None for the last, after which there is no other."""
    for region in order[:-1]:
        yield region, limits.REGION_PATIENCE_SECONDS
    for region in order[-1:]:
        yield region, None
