"""Records that an operator may restore into a lane from a copy of its table, and those that the chain refuses."""

import gzip
import json
from base64 import b64encode
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pytest

from eventfabric.errors import RestoreRefusedError, SettingError
from eventfabric.model import EMPTY_TAIL, Chain, InterventionKind, Lane, Record, SequenceNumber, chain_of
from eventfabric.model.backfill import Seam
from eventfabric.model.finding import FindingKind
from eventfabric.sdk.export_file import ExportFile
from eventfabric.services.operations.restore import Copy, Restore
from eventfabric.services.operations.seams import known_seams
from eventfabric.testing.memory.faults import Fault, Faults, SimulatedCrash, nth
from eventfabric.wire import record_item
from eventfabric.wire.keys import Item
from tests.support.expiry import reconciled
from tests.support.log_items import delete, fabric_with, put
from tests.support.memory_fabric import AWAY, HOME, LANE, event
from tests.support.messages import raises_with
from tests.support.subscribed_stream import SubscribedStream


class CopyOf:
    """A table restored to a point in time: what the log had then."""

    def __init__(self, fabric: SubscribedStream) -> None:
        self.log = fabric_with(0).log
        for record in fabric.records():
            self.log.append(record)


def copy_of(fabric: SubscribedStream) -> Copy:
    return CopyOf(fabric).log


def restore_of(fabric: SubscribedStream, copy: Copy) -> Restore:
    def seen(lane: Lane) -> Collection[Seam]:
        return known_seams(fabric.stream, lane, ledger=fabric.ledger)

    return Restore(fabric.log, region=fabric.region, copy=copy, known_seams=seen, clock=fabric.clock)


def changed(record: Record) -> Record:
    """The record with other types, as a script might leave it."""
    return replace(record, types=frozenset({"Changed"}))


def test_a_lost_record_comes_back_in_every_region_and_its_events_are_delivered() -> None:
    fabric = fabric_with(5)
    records, copy = fabric.records(), copy_of(fabric)
    delete(fabric, records[2])
    fabric.cloud.replicate()
    fabric.relay()
    fabric.deliver()
    assert fabric.recorder.ids() == ["a0", "a1"]
    assert reconciled(fabric) == [FindingKind.HOLE]

    restore = restore_of(fabric, copy)
    restorable = restore.look(LANE, SequenceNumber(2))
    assert (restorable.record, restorable.replaces) == (records[2], "")
    assert len(fabric.records()) == 4
    restore.restore(LANE, SequenceNumber(2), by="ana", reason="a script's mistake")
    while fabric.relay():
        pass
    fabric.deliver()
    assert fabric.recorder.ids() == ["a0", "a1", "a2", "a3", "a4"]
    fabric.cloud.replicate()
    assert fabric.in_region(AWAY).records() == records
    assert reconciled(fabric) == []
    (intervention,) = fabric.in_region(AWAY).log.interventions(LANE)
    assert (intervention.kind, intervention.sequence, intervention.by) == (
        InterventionKind.RESTORED,
        2,
        "ana",
    )
    assert intervention.reason.endswith("a script's mistake")


def test_a_changed_record_is_set_aside_and_the_right_one_stands_in_its_place() -> None:
    fabric = fabric_with(4)
    records, copy = fabric.records(), copy_of(fabric)
    put(fabric, changed(records[1]))
    restorable = restore_of(fabric, copy).restore(LANE, SequenceNumber(1), by="ana", reason="")
    assert restorable.replaces.endswith("another types")
    assert fabric.records() == records
    kinds = [(intervention.kind, intervention.sequence) for intervention in fabric.log.interventions(LANE)]
    assert kinds == [(InterventionKind.SET_ASIDE, 1), (InterventionKind.RESTORED, 1)]
    fabric.deliver()
    assert fabric.recorder.ids() == ["a0", "a1", "a2", "a3"]


def test_a_record_comes_back_with_what_only_a_later_version_knows_of_it() -> None:
    fabric = fabric_with(3)
    later = replace(fabric.records()[1], unknown={"zz": {"N": "5"}})
    put(fabric, later)
    copy = copy_of(fabric)
    delete(fabric, later)
    restore_of(fabric, copy).restore(LANE, SequenceNumber(1), by="ana", reason="")
    assert fabric.records()[1].unknown == {"zz": {"N": "5"}}


def test_so_is_one_that_cannot_be_decoded() -> None:
    fabric = fabric_with(3)
    records, copy = fabric.records(), copy_of(fabric)
    fabric.table.write("Put", {"Item": {**record_item.to_item(records[1]), "t": {"S": "no set"}}})
    restorable = restore_of(fabric, copy).restore(LANE, SequenceNumber(1), by="ana", reason="")
    assert restorable.replaces.startswith("cannot be read")
    assert fabric.records() == records


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
@pytest.mark.parametrize("how", ["lost", "changed"])
def test_several_in_a_row_come_back_one_by_one_in_any_order(order: tuple[int, ...], how: str) -> None:
    fabric = fabric_with(6)
    records, copy = fabric.records(), copy_of(fabric)
    for number in order:
        if how == "lost":
            delete(fabric, records[number])
        else:
            put(fabric, replace(changed(records[number]), chain=Chain(b"!" * 16)))
    restore = restore_of(fabric, copy)
    for number in order if how == "lost" else sorted(order, reverse=True):
        restore.restore(LANE, SequenceNumber(number), by="ana", reason="")
    assert fabric.records() == records


def test_the_first_record_is_bound_to_the_beginning_and_to_the_one_behind_it() -> None:
    fabric = fabric_with(3)
    records, copy = fabric.records(), copy_of(fabric)
    delete(fabric, records[0])
    assert (
        "the lane's first"
        in restore_of(fabric, copy).restore(LANE, SequenceNumber(0), by="a", reason="").proof
    )
    assert fabric.records() == records


def test_the_last_record_comes_back_where_a_cursor_carries_its_chain_and_not_elsewhere() -> None:
    fabric = fabric_with(3)
    records, copy = fabric.records(), copy_of(fabric)
    delete(fabric, records[2])
    with pytest.raises(RestoreRefusedError, match="nothing proves it"):
        restore_of(fabric, copy).look(LANE, SequenceNumber(2))
    put(fabric, records[2])
    fabric.deliver()
    delete(fabric, records[2])
    assert "a cursor" in restore_of(fabric, copy).restore(LANE, SequenceNumber(2), by="ana", reason="").proof
    assert fabric.records() == records


def forged(fabric: SubscribedStream, number: int) -> Copy:
    """A copy in which one record is another, made to continue the one before it."""
    records = fabric.records()
    other = replace(records[number], types=frozenset({"Forged"}))
    other = replace(other, chain=chain_of(records[number - 1].chain, other))
    copy = fabric_with(0)
    for record in (*records[:number], other, *records[number + 1 :]):
        put(copy, record)
    return copy.log


def test_a_record_that_continues_the_lane_but_is_not_continued_by_the_one_behind_is_refused() -> None:
    fabric = fabric_with(4)
    copy = forged(fabric, 2)
    delete(fabric, fabric.records()[2])
    before = fabric.table.items
    with pytest.raises(RestoreRefusedError, match="does not continue it"):
        restore_of(fabric, copy).restore(LANE, SequenceNumber(2), by="ana", reason="")
    assert fabric.table.items == before


def test_a_record_that_does_not_continue_the_one_before_it_is_refused() -> None:
    fabric = fabric_with(4)
    records = fabric.records()
    copy = fabric_with(0)
    put(
        copy, changed(records[2])
    )  # bound by its chain to the one behind it, and not what the chain was computed of
    delete(fabric, records[2])
    with pytest.raises(RestoreRefusedError, match="does not continue the record before it"):
        restore_of(fabric, copy.log).look(LANE, SequenceNumber(2))


def test_where_the_copy_lacks_those_up_to_the_next_record_nothing_is_proven() -> None:
    fabric = fabric_with(6)
    records, copy = fabric.records(), fabric_with(0)
    for record in records[:3]:
        put(copy, record)
    for number in (2, 3):
        delete(fabric, records[number])
    with raises_with(RestoreRefusedError, f"{LANE}@2", "copy ends at 3", "at 4"):
        restore_of(fabric, copy.log).look(LANE, SequenceNumber(2))


@pytest.mark.parametrize(
    ("sequence", "message"),
    [(1, "it stands there"), (9, "no record that begins there"), (3, "none begins here")],
)
def test_a_good_record_is_never_replaced(sequence: int, message: str) -> None:
    fabric = fabric_with(3)
    fabric.put(event("b"), event("c"))
    copy = copy_of(fabric)
    with pytest.raises(RestoreRefusedError, match=message if sequence != 3 else "stands there"):
        restore_of(fabric, copy).look(LANE, SequenceNumber(sequence))


def test_what_was_published_where_the_tail_was_lost_stays() -> None:
    fabric = fabric_with(3)
    records, copy = fabric.records(), copy_of(fabric)
    fabric.deliver()
    delete(fabric, records[2])
    other = fabric.put(event("new"))
    with pytest.raises(RestoreRefusedError, match="the lane's own"):
        restore_of(fabric, copy).look(LANE, other.sequence)


def test_it_is_refused_where_the_lane_is_not_written_and_of_what_has_expired() -> None:
    fabric = fabric_with(3)
    copy = copy_of(fabric)
    with pytest.raises(RestoreRefusedError, match=HOME):
        restore_of(fabric.in_region(AWAY), copy).look(LANE, SequenceNumber(1))
    old = replace(fabric.records()[1], expires_at=fabric.clock.now_ms() // 1000 + 60)
    aged = fabric_with(0)
    put(aged, old)
    delete(fabric, fabric.records()[1])
    with pytest.raises(RestoreRefusedError, match="expired"):
        restore_of(fabric, aged.log).look(LANE, SequenceNumber(1))


@pytest.mark.parametrize("call", ["note", "set_aside", "append"])
@pytest.mark.parametrize("fault", [Fault.CRASH_BEFORE, Fault.CRASH_AFTER])
def test_one_that_was_interrupted_goes_on(call: str, fault: Fault) -> None:
    fabric = fabric_with(4)
    records, copy = fabric.records(), copy_of(fabric)
    put(fabric, changed(records[1]))
    faults = Faults(nth(1, fault, name=f"log.{call}"))
    broken = Restore(
        faults.log(fabric.log), region=HOME, copy=copy, known_seams=lambda lane: (), clock=fabric.clock
    )
    with pytest.raises(SimulatedCrash):
        broken.restore(LANE, SequenceNumber(1), by="ana", reason="")
    if fabric.records() != records:
        restore_of(fabric, copy).restore(LANE, SequenceNumber(1), by="ana", reason="")
    assert fabric.records() == records
    kinds = [intervention.kind for intervention in fabric.log.interventions(LANE)]
    assert kinds == [InterventionKind.SET_ASIDE, InterventionKind.RESTORED]


def exported(item: Item) -> str:
    """The line of an item in an export of DynamoDB."""
    shown = {
        name: {"B": b64encode(value["B"]).decode()} if "B" in value else value for name, value in item.items()
    }
    return json.dumps({"Item": shown}) + "\n"


class TestAnExport:
    """A file that DynamoDB exported."""

    @pytest.mark.parametrize("name", ["data.json", "data.json.gz"])
    def test_a_record_comes_back_from_it(self, tmp_path: Path, name: str) -> None:
        fabric = fabric_with(4)
        records = fabric.records()
        lines = "".join(exported(item) for item in reversed(list(fabric.table.items)))
        path = tmp_path / name
        path.write_bytes(gzip.compress(lines.encode()) if name.endswith("gz") else lines.encode())
        delete(fabric, records[1])
        restore_of(fabric, ExportFile(path)).restore(LANE, SequenceNumber(1), by="ana", reason="")
        assert fabric.records() == records

    @pytest.mark.parametrize(
        "content",
        [
            b'{"Item": {"pk": {"S": "us-east-1/0.0"}, "sk": 5}}\n',
            b"us-east-1, not JSON\n",
            b'{"Keys": "us-east-1"}\n',
            b'["us-east-1"]\n',
            b'{"Item": {"pk": {"S": "us-east-1/0.0"}, "c": {"B": "?"}}}\n',
            gzip.compress(b"x" * 1000, mtime=0)[:-12],
            b"x" * 1_000_000,
        ],
        ids=["no key", "no JSON", "no item", "no object", "no bytes", "cut off", "endless"],
    )
    def test_what_is_no_export_is_named_by_its_line(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "data.json"
        path.write_bytes(content)
        with pytest.raises(SettingError, match=r"data.json:\d"):
            ExportFile(path).read(LANE, EMPTY_TAIL.sequence, records_max=1)
