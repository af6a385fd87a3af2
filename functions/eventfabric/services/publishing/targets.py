"""Targets: the streams into which a subscription's handler publishes, as its function appends to them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from eventfabric.errors import (
    BackpressureError,
    FormatError,
    NotDeclaredError,
    SealedLaneError,
    StateRefusedError,
    ThrottledError,
    WrongRegionError,
)
from eventfabric.model import Batch, BatchId, Lane, Occupied, Record, StreamName
from eventfabric.ports import Log, Ports
from eventfabric.services.lanes.tree import LaneTree, LaneTrees
from eventfabric.services.publishing.append import Appender
from eventfabric.services.publishing.gates import CreditsOf, ungated
from eventfabric.services.publishing.lane_ends import Known, KnownMarks
from eventfabric.services.publishing.once import append_once
from eventfabric.services.publishing.outbox import OutboxAppend
from eventfabric.services.publishing.posted_tails import PostedTails, Posting, SideBySide
from eventfabric.services.publishing.target_append import TargetAppend, TargetWrite, writes_for
from eventfabric.stream_topology import StreamTopology
from eventfabric.wire.batch import Part, batch_of_rows
from eventfabric.wire.published import Parts, Published, Target

AsDeclared = Callable[[StreamTopology], StreamTopology]
"""Returns a stream as it is declared by now. Raises an error if nothing is to be published to it."""


@dataclass(frozen=True, slots=True)
class _TargetStream:
    defined: StreamTopology
    stream: StreamTopology
    log: Log
    known: Known
    credits: CreditsOf
    appender: Appender
    tree: LaneTree


class Targets:
    """The streams that a subscription may publish into, in the Region of these ports. Nobody rings but the relay."""

    def __init__(
        self,
        streams: Iterable[StreamTopology],
        ports: Ports,
        *,
        as_declared: AsDeclared = lambda stream: stream,
        credits_of: Callable[[Callable[[], StreamTopology]], CreditsOf] = lambda current: ungated,
    ) -> None:
        """`as_declared`: asked before each write. It may make a call now and then, not each time.

        `credits_of`: gives what to ask for the credits of a stream, which is given as it is declared by now.
        """
        self.trees = LaneTrees()
        self._credits_of = credits_of
        self._ports = ports
        self._as_declared = as_declared
        self._streams = {stream.name: self._target(stream, stream) for stream in streams}
        # One for all streams: the records of one commit may go into several.
        self._tails = PostedTails(ports.clock)

    def _open(self, name: str) -> _TargetStream:
        """Return a stream to which something is about to be written. StateRefusedError: it takes nothing here."""
        target = self._streams[name]
        try:
            stream = self._as_declared(target.defined)
        except (NotDeclaredError, WrongRegionError, FormatError) as error:
            raise StateRefusedError("publish", str(error)) from error
        if stream is not target.stream:
            target = self._streams[name] = self._target(target.defined, stream)
        return target

    def _target(self, defined: StreamTopology, stream: StreamTopology) -> _TargetStream:
        ports, log = self._ports, self._ports.log_of(stream)
        known = KnownMarks(ports.ledger, StreamName(stream.name), clock=ports.clock).of
        credits = self._credits_of(lambda: self._as_declared(defined))
        tree = self._tree(stream)
        appender = Appender(
            log,
            stream=stream.name,
            clock=ports.clock,
            entropy=ports.entropy,
            retention_seconds=stream.retention_seconds,
            known=known,
            credits=credits,
            seals=tree,
        )
        return _TargetStream(defined, stream, log, known, credits, appender, tree)

    def _tree(self, stream: StreamTopology) -> LaneTree:
        return self.trees.of(stream.name, self._ports.ledger.region, stream.definition.lanes)

    def _lane_of(self, event: Published) -> Lane:
        """Return the lane of an event, by the seals that were met."""
        tree = self._streams[event.stream].tree
        return tree.below(event.lane, event.row[2]) if tree else event.lane

    def append_of(self, published: Sequence[Published]) -> TargetAppend:
        """See services.delivery.target_streams."""
        return TargetAppend(
            writes_for(published),
            clock=self._ports.clock,
            lane_of=self._lane_of,
            appender_of=lambda stream: self._open(stream).appender,
            batch_of=self._batch,
            append_once=self._append_once,
        )

    def check_credit(self, lanes: Iterable[Target]) -> None:
        """See services.delivery.target_streams."""
        try:
            for stream, lane in lanes:
                target = self._open(stream)
                target.appender.check_credit(lane, self._tails.known(target.stream.table.name, lane))
        except BackpressureError as error:
            raise ThrottledError("publish", str(error)) from error

    def _append_once(self, write: TargetWrite, seconds: float, beyond_credit: bool) -> None:
        """Append the only event of a write unless its id was published before."""
        ports = self._ports
        make = partial(
            OutboxAppend,
            outbox=ports.outbox,
            clock=ports.clock,
            entropy=ports.entropy,
            timeout_seconds=seconds,
        )
        appender = self._open(write.target[0]).appender
        posting = self._posting(*write.target, write.part)
        if beyond_credit:
            posting = replace(posting, credits=ungated)
        appended = append_once(posting, write.events[0].row, make)
        if beyond_credit and isinstance(appended, Record):
            appender.saw(appended)

    def prepare(self, published: Sequence[Published]) -> "PreparedRecords":
        """See services.delivery.target_streams."""
        names = {event.stream for event in published}

        def check() -> None:
            for name in names:
                self._open(name)

        return PreparedRecords(partial(self._postings, published), self._tails, check)

    def _postings(self, published: Sequence[Published]) -> list[Posting]:
        """Pack events into batches, each for the lane of its events by now."""
        lanes = Parts(replace(event, lane=self._lane_of(event)) for event in published).of
        return [
            self._posting(stream, lane, part) for (stream, lane), parts in lanes.items() for part in parts
        ]

    def _posting(self, stream: str, lane: Lane, part: Part) -> Posting:
        target = self._streams[stream]
        batch, table = self._batch(part), target.stream.table.name
        return Posting(
            table,
            target.log,
            lane,
            batch,
            target.stream.retention_seconds,
            target.known,
            target.credits,
            target.tree,
        )

    def _batch(self, part: Part) -> Batch:
        return batch_of_rows(BatchId(self._ports.entropy.bytes(16)), part.rows)


class PreparedRecords:
    """Records of one commit: batches on their way to their lanes."""

    def __init__(
        self, plan: Callable[[], list[Posting]], tails: PostedTails, check: Callable[[], None]
    ) -> None:
        """`plan`: packs the events by the lanes that they have by now.

        `check`: raises an error if one of the streams takes nothing.
        """
        self._plan = plan
        self._postings = plan()
        self._tails = tails
        self._check = check
        self.count = sum(posting.batch.count for posting in self._postings)

    def made(self, side_by_side: SideBySide) -> list[tuple[str, Record]]:
        """See services.delivery.target_streams."""
        self._check()
        while True:
            try:
                records = self._tails.records(self._postings, side_by_side)
                break
            except SealedLaneError:
                self._postings = self._plan()
            except BackpressureError as error:
                raise ThrottledError("publish", str(error)) from error
        return [(posting.table, record) for posting, record in zip(self._postings, records, strict=True)]

    def meet(self, taken: Occupied) -> None:
        """See services.delivery.target_streams."""
        self._tails.meet(self._postings[taken.index], taken.record)

    def landed(self, records: Sequence[tuple[str, Record]]) -> None:
        """See services.delivery.target_streams."""
        self._tails.landed(self._postings, [record for _, record in records])

    def forget(self) -> None:
        """See services.delivery.target_streams."""
        self._tails.forget()
