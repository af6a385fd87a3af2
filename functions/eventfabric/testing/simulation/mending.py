"""A record is lost in a lane of its origin, and an operator repairs that: restores it from a backup, or skips it.

    number 0    restored            2    restored from a backup that is wrong at first, which is refused
           1    skipped             3    restored after a pass of reconciliation, which may have found it elsewhere

A pass of reconciliation is what the caller gives for one.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from eventfabric.errors import RestoreRefusedError, SkipRefusedError
from eventfabric.model import Lane, Record, SequenceNumber, chain_of
from eventfabric.ports import Page
from eventfabric.testing.memory.log import MemoryLog
from eventfabric.testing.memory.table import MemoryTable
from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.operators import operator, tell
from eventfabric.testing.simulation.plan import Happening
from eventfabric.testing.simulation.world import World
from eventfabric.wire import record_item
from eventfabric.wire.keys import PK, SK, Item, is_record

_SKIPPED, _WRONG_BACKUP, _AFTER_A_PASS = 1, 2, 3
_TRIES: Final = 40
_TRY_SECONDS: Final = 45.0


def lose_and_mend(world: World, happening: Happening, reconcile: Callable[[], None]) -> None:
    """Delete a record within one of the Region's own lanes; an operator hears of it later, and repairs it."""
    table = world.cloud.log_table(world.plan.stream, happening.region)
    items = _inner_records(table, happening.region)
    if not items:
        return
    item = items[happening.number % len(items)]
    record = record_item.from_item(item)
    backup = Backup(world, happening)
    world.note(
        history.Tampered,
        "tamperer",
        what="record lost",
        region=happening.region,
        lane=str(record.lane),
        sequence=int(record.sequence),
    )
    table.apply(table.plan("Delete", {"Key": {PK: item[PK], SK: item[SK]}}))
    world.look("tamperer")
    if happening.number != _SKIPPED:  # a skip is tried at once, while another Region may have the record
        world.schedule.pause(happening.seconds)
    if happening.number == _AFTER_A_PASS and happening.region not in world.lost:
        reconcile()
    for _ in range(_TRIES):
        if happening.region not in world.lost and _mend(world, happening, backup, record):
            return
        world.schedule.pause(_TRY_SECONDS)


def _mend(world: World, happening: Happening, backup: "Backup", record: Record) -> bool:
    """Try once. Return True if nothing is left to do."""
    place, stream = (record.lane, record.sequence), world.plan.stream
    with operator(world, happening) as (_, operations):
        if happening.number == _SKIPPED:
            with suppress(SkipRefusedError):
                operations.skip(stream).skip(*place, by="simulated", reason="lost")
                tell(world, happening, f"{record.lane}@{record.sequence}", what="skip")
        else:
            if happening.number == _WRONG_BACKUP:
                with suppress(RestoreRefusedError):
                    wrong = WrongBackup(backup, record)
                    operations.restore(stream, wrong).restore(*place, by="simulated", reason="")
            with suppress(RestoreRefusedError):
                operations.restore(stream, backup).restore(*place, by="simulated", reason="lost")
                tell(world, happening, f"{record.lane}@{record.sequence}", what="restore")
    return _stands(world, happening, record)


def _stands(world: World, happening: Happening, record: Record) -> bool:
    """Tell if something is there again: the restored record, the skip, or what reconciliation found elsewhere."""
    log = world.cloud.log(world.plan.stream, happening.region)
    first = log.read(record.lane, record.sequence, records_max=1).first
    return first is not None and first.sequence == record.sequence


class Backup:
    """The log as it was, with everything appended since."""

    def __init__(self, world: World, happening: Happening) -> None:
        self._log: MemoryLog = world.cloud.log(world.plan.stream, happening.region)
        table = world.cloud.regions[happening.region].table(
            world.topology.stream(world.plan.stream).table.name
        )
        self._records = [record_item.from_item(item) for item in table.items if is_record(item)]

    def read(
        self, lane: Lane, start: SequenceNumber, *, records_max: int, before: SequenceNumber | None = None
    ) -> Page:
        """See ports.Log."""
        later = self._log.read(lane, start, records_max=records_max).records
        records = {
            record.sequence: record
            for record in (*later, *self._records)
            if record.lane == lane and record.sequence >= start
        }
        return Page(
            tuple(records[sequence] for sequence in sorted(records) if before is None or sequence < before),
            more=False,
        )


class WrongBackup:
    """A backup in which one record is forged so that it continues the one before it."""

    def __init__(self, backup: Backup, record: Record) -> None:
        self._backup = backup
        self._record = record

    def read(
        self, lane: Lane, start: SequenceNumber, *, records_max: int, before: SequenceNumber | None = None
    ) -> Page:
        """See ports.Log."""
        page = self._backup.read(lane, start, records_max=records_max, before=before)
        records: list[Record] = []
        for record in page.records:
            if record.sequence == self._record.sequence and records:
                record = replace(record, types=record.types | {"forged"})
                record = replace(record, chain=chain_of(records[-1].chain, record))
            records.append(record)
        return Page(tuple(records), more=False)


def _inner_records(table: MemoryTable, region: str) -> list[Item]:
    """Return the records of a Region's own lanes that have others before and after them."""
    lanes: dict[str, list[Item]] = {}
    for item in table.items:
        if is_record(item) and str(item[PK]["S"]).startswith(f"{region}/"):
            lanes.setdefault(str(item[PK]["S"]), []).append(item)
    inner = [sorted(some, key=lambda item: int(item[SK]["N"]))[1:-1] for _, some in sorted(lanes.items())]
    return [item for some in inner for item in some if "t" in item]
