"""Two Regions in memory whose replication stands still, a log to copy, and the backfill between them."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from eventfabric.definition.file import parse_definition
from eventfabric.model import EMPTY_TAIL, Batch, BatchId, Lane, Record, Region, Tail, record_at
from eventfabric.model.backfill import Backfill, LaneRange, SliceProgress
from eventfabric.ports import Clock, Log, Ports
from eventfabric.services.backfill.copy_slice import Copied
from eventfabric.services.backfill.lifecycle import Backfiller
from eventfabric.services.backfill.request import BackfillRequest
from eventfabric.services.lanes.lane_end import tail_from
from eventfabric.testing.memory.entropy import SeededEntropy
from eventfabric.testing.memory.faults import Faults
from eventfabric.topology import Topology
from eventfabric.wire import record_item
from eventfabric.wire.keys import Item, record_key
from tests.support.memory_fabric import AWAY, HOME, STREAM, MemoryFabric, lane

SOURCE, TARGET = HOME, AWAY


def topology(*, lanes: int = 4, retention_days: int | None = None) -> Topology:
    """Return a stream in both Regions, to which nobody subscribes."""
    retention = "" if retention_days is None else f"retention_days = {retention_days}"
    return Topology(
        parse_definition(
            f'[fabric]\nname = "shop"\nregions = ["{SOURCE}", "{TARGET}"]\n'
            f"[streams.{STREAM}]\nlanes = {lanes}\n{retention}\n"
        )
    )


class BackfillRegions(MemoryFabric):
    """A source with records, a target that lacks some, and the ports between them, through faults."""

    def __init__(self, *, lanes: int = 4, retention_days: int | None = None, seed: int = 0) -> None:
        super().__init__(topology(lanes=lanes, retention_days=retention_days), seed=seed)
        self.faults = Faults()
        """Faults of the target's log and backfills."""
        self.reading = Faults()
        """Faults of the source's log."""

    def log(self, region: Region) -> Log:
        """Return a Region's log, past all faults."""
        return self.cloud.log(STREAM, region)

    def fill(
        self,
        records: int,
        *,
        of: Lane | None = None,
        events: int = 100,
        region: Region = SOURCE,
        start: Tail = EMPTY_TAIL,
    ) -> list[Record]:
        """Append so many records of so many events to a lane. `start`: where it begins."""
        made: list[Record] = []
        log, to = self.log(region), of or lane()
        tail = tail_from(log, to, start)
        for _ in range(records):
            self._batches += 1
            batch = Batch(
                BatchId(self._batches.to_bytes(16, "big")),
                events,
                frozenset({"placed"}),
                bytes([65 + self._batches % 26]) * events,
            )
            record = record_at(
                tail, to, batch, now_ms=self.clock.now_ms(), retention_seconds=self.stream.retention_seconds
            )
            assert log.append(record) is None
            tail = record.tail
            made.append(record)
        return made

    def copy_to_target(self, records: Iterable[Record]) -> None:
        """Put records into the target's log, as replication would."""
        for record in records:
            assert self.log(TARGET).append(record) is None

    def remove(self, record: Record, *, region: Region = SOURCE) -> None:
        """Lose a record."""
        self._table(region).write("Delete", {"Key": record_key(record.lane, record.sequence)})

    def overwrite(self, record: Record, *, region: Region = TARGET) -> None:
        """Put a record in place of another, as nobody ever does."""
        self._table(region).write("Put", {"Item": record_item.to_item(record)})

    def items(self, region: Region) -> list[Item]:
        """Return all items of a Region's log."""
        return sorted(self._table(region).items, key=lambda item: (item["pk"]["S"], int(item["sk"]["N"])))

    def _table(self, region: Region) -> Any:
        return self.cloud.log_table(self.stream.name, region)

    def ports(
        self,
        region: Region | None = None,
        *,
        clock: Clock | None = None,
        around: Callable[[Log], Log] | None = None,
    ) -> Ports:
        """Return the ports of a Region with its faults. Default: the target. `around` wraps both logs."""
        here = region or TARGET
        wrap = around or (lambda log: log)
        faults = self.faults if here == TARGET else self.reading
        without_faults = super().ports(here)
        return replace(
            without_faults,
            clock=clock or self.clock,
            entropy=SeededEntropy(7),
            log_of=lambda stream: wrap(faults.log(self.log(here))),
            backfills=self.faults.backfills(without_faults.backfills),
            at=lambda other: self.ports(other, clock=clock, around=around),
        )

    def backfiller(self, **of_ports: Any) -> Backfiller:
        """Return the backfiller of another process."""
        return Backfiller(self.topology, self.ports(**of_ports))

    def wanted(self, *ranges: LaneRange, **settings: Any) -> BackfillRequest:
        return replace(BackfillRequest(STREAM, SOURCE, ranges), **settings)

    def begin(self, *ranges: LaneRange, **settings: Any) -> Backfill:
        return self.backfiller().begin(self.wanted(*ranges, **settings), by="tester")

    def slices(self, backfill: Backfill) -> list[SliceProgress]:
        """Return all slices that are to be done, as a new process finds them."""
        backfiller, more = self.backfiller(), None
        slice_rows: list[SliceProgress] = []
        while True:
            handout = backfiller.hand_out(backfill.id, more)
            slice_rows += handout.slices
            more = handout.more
            if more is None:
                return slice_rows

    def run(self, backfill: Backfill) -> list[Copied]:
        """Run one worker for all slices, to the end."""
        slices, copier = self.slices(backfill), self.backfiller().copier(backfill.id)
        copied = [copier.copy(progress) for progress in slices]
        self.backfiller().finish(backfill.id)
        return copied
