"""Backfills of what is declared: a Region that lost it, or never had it, knows it again, and nothing is overwritten."""

import pytest

from eventfabric.contracts.document import read_schema
from eventfabric.model import DeclarationLane, Lane, Region, SchemaLane, SequenceNumber, StreamName
from eventfabric.model.backfill import LaneRange, Report
from eventfabric.sdk.backfill import run_backfill
from eventfabric.services.backfill.lifecycle import Backfiller
from eventfabric.services.catalogue.deployment import Deployer
from eventfabric.services.catalogue.lane import history
from eventfabric.services.catalogue.schema_lane import SchemaReader
from eventfabric.services.catalogue.schema_push import Registration
from eventfabric.testing.memory.faults import Fault, SimulatedCrash, nth
from eventfabric.wire.keys import is_declaration
from tests.support.backfill_regions import SOURCE, TARGET, BackfillRegions
from tests.support.memory_fabric import STREAM, lane

OF_SOURCE, OF_TARGET = (DeclarationLane.of(region, StreamName(STREAM)) for region in (SOURCE, TARGET))


def deploy(fabric: BackfillRegions, region: Region, *requests: str) -> None:
    """Declare in a Region once for each request; the stream is there in every other one."""
    for number, request in enumerate(requests):
        deployer = Deployer(fabric.topology, region, fabric.ports(region), by="stack", request_id=request)
        if number % 2:
            deployer.declare_stream_gone(fabric.stream)
        else:
            deployer.declare_stream(fabric.stream)


def declared(fabric: BackfillRegions, of: DeclarationLane, region: Region = TARGET) -> list[str]:
    return [known.change.request_id for known in history(fabric.log(region), of)]


def replicate(fabric: BackfillRegions) -> None:
    """Copy to the target all that is declared in the source, and back."""
    for of, here, there in ((OF_SOURCE, SOURCE, TARGET), (OF_TARGET, TARGET, SOURCE)):
        for record in fabric.log(here).recent(of, records_max=100).records:
            fabric.log(there).append(record)


def restored(fabric: BackfillRegions) -> Report:
    return run_backfill(fabric.backfiller(), fabric.begin().id)


def test_a_region_that_is_filled_has_the_schemas_too() -> None:
    fabric = BackfillRegions()
    fabric.fill(2)
    deploy(fabric, SOURCE, "r1")
    ports = fabric.ports(SOURCE)
    reader = SchemaReader(fabric.stream, fabric.log(SOURCE))
    by = Registration(reader, lambda *_: (), ports.clock, ports.entropy, by="ci", request_id="s1")
    document = read_schema("true", where="-")
    by.register({"placed": document})
    report = restored(fabric)
    assert report.is_complete
    schemas = SchemaLane.of(SOURCE, StreamName(STREAM))
    assert report.lanes[schemas].copied_records == 1
    [version] = SchemaReader(fabric.stream, fabric.log(TARGET)).index().versions("placed")
    assert SchemaReader(fabric.stream, fabric.log(TARGET)).document("placed", version) == document


def test_a_region_that_is_filled_knows_what_is_declared() -> None:
    fabric = BackfillRegions()
    fabric.fill(2)
    deploy(fabric, SOURCE, "r1", "r2", "r3")
    previewed = list(fabric.backfiller().preview(fabric.wanted()))
    assert [str(progress.slice.lane) for progress in previewed] == [str(OF_SOURCE), str(lane())]
    report = restored(fabric)
    assert report.is_complete
    assert {str(of): row.copied_records for of, row in report.lanes.items()} == {
        str(OF_SOURCE): 3,
        str(lane()): 2,
    }
    assert declared(fabric, OF_SOURCE) == ["r3", "r2", "r1"]
    assert fabric.items(TARGET) == fabric.items(SOURCE)
    assert not list(fabric.backfiller().preview(fabric.wanted()))


@pytest.mark.parametrize("lost", [{0}, {2}, {1, 2}, {0, 1, 2}])
def test_a_region_whose_table_is_of_yesterday_gets_its_own_declarations_back(lost: set[int]) -> None:
    fabric = BackfillRegions()
    deploy(fabric, TARGET, "r1", "r2", "r3")
    deploy(fabric, SOURCE, "s1")
    replicate(fabric)
    records = fabric.log(TARGET).recent(OF_TARGET, records_max=9).records
    for record in records:
        if record.sequence in lost:
            fabric.remove(record, region=TARGET)
    report = restored(fabric)
    assert (report.is_complete, report.total.copied_records) == (True, len(lost))
    assert declared(fabric, OF_TARGET) == ["r3", "r2", "r1"]


def test_other_declarations_of_the_same_place_are_not_overwritten() -> None:
    fabric, other = BackfillRegions(), BackfillRegions(seed=5)
    fabric.fill(2)
    deploy(fabric, SOURCE, "r1", "r2")
    deploy(other, SOURCE, "o1")
    fabric.copy_to_target(other.log(SOURCE).recent(OF_SOURCE, records_max=9).records)
    report = restored(fabric)
    assert not report.is_complete
    assert [row.failures != [] for row in report.lanes.values()] == [True, False]
    assert declared(fabric, OF_SOURCE) == ["o1"]


def test_a_source_that_is_a_fabric_of_its_own_says_nothing_of_what_is_deployed_here() -> None:
    fabric, other = BackfillRegions(), BackfillRegions(seed=5)
    other.fill(2)
    deploy(other, SOURCE, "o1", "o2")
    deploy(other, TARGET, "o3")
    deploy(fabric, TARGET, "r1")
    theirs = other.log(SOURCE)
    replicate(other)
    joined = Backfiller(
        fabric.topology, fabric.ports(), source_log=lambda stream: theirs, elsewhere="profile archive"
    )
    backfill = joined.begin(fabric.wanted())
    report = run_backfill(joined, backfill.id)
    assert report.is_complete
    assert [str(of) for of in report.lanes] == [str(OF_SOURCE), str(lane())]
    assert declared(fabric, OF_TARGET) == ["r1"]
    assert declared(fabric, OF_SOURCE) == ["o2", "o1"]


def test_a_part_of_a_stream_is_filled_without_declarations() -> None:
    fabric = BackfillRegions()
    fabric.fill(2)
    deploy(fabric, SOURCE, "r1")
    backfill = fabric.begin(LaneRange(lane()))
    assert run_backfill(fabric.backfiller(), backfill.id).is_complete
    assert not any(is_declaration(item) for item in fabric.items(TARGET))


@pytest.mark.parametrize("fault", [Fault.CRASH_BEFORE, Fault.CRASH_AFTER])
@pytest.mark.parametrize("name", ["log.append", "backfills.add", "backfills.save", "backfills.replace"])
def test_a_backfill_that_died_goes_on_with_the_declarations(name: str, fault: Fault) -> None:
    fabric = BackfillRegions()
    fabric.fill(2)
    deploy(fabric, SOURCE, "r1", "r2")
    backfill = fabric.begin()
    fabric.faults.rules.append(nth(fabric.faults.count(name) + 1, fault, name=name))
    with pytest.raises(SimulatedCrash):
        run_backfill(fabric.backfiller(), backfill.id)
    fabric.faults.rules.clear()
    assert run_backfill(fabric.backfiller(), backfill.id).is_complete
    assert fabric.items(TARGET) == fabric.items(SOURCE)


def test_slices_of_declarations_are_found_again_by_where_they_start_and_page_by_page() -> None:
    fabric = BackfillRegions()
    fabric.fill(2)
    deploy(fabric, SOURCE, "r1")
    backfill = fabric.begin()
    backfiller = fabric.backfiller()
    planned = backfiller.hand_out(backfill.id).slices + backfiller.hand_out(backfill.id, "plan").slices
    assert OF_SOURCE in [progress.slice.lane for progress in planned]
    known = backfiller.slice(backfill.id, OF_SOURCE, SequenceNumber(0))
    assert (known.slice.lane, known.missing) == (OF_SOURCE, 1)
    lanes, more = list[Lane](), None
    while True:
        handed = backfiller.hand_out(backfill.id, more, count=1)
        lanes += [progress.slice.lane for progress in handed.slices]
        more = handed.more
        if more is None:
            break
    assert lanes == [OF_SOURCE, lane()]
