"""Schemas of a Region that has left the stream: those that are left verify, prove, mend and copy its lane."""

from dataclasses import dataclass, field, replace

import pytest

from eventfabric.errors import QuarantineRefusedError, RestoreRefusedError
from eventfabric.model import Region, SchemaLane, SequenceNumber, StreamName, record_at
from eventfabric.model.finding import Finding, FindingKind
from eventfabric.ports import Ports
from eventfabric.sdk.operations import Operations
from eventfabric.services.catalogue.incarnations import as_declared
from eventfabric.wire.keys import record_key
from tests.support.memory_fabric import AWAY, FAR, HOME, STREAM, MemoryFabric, batch_of, event
from tests.support.schema_registry import FIRST, SECOND, in_regions, registration
from tests.support.subscribed_stream import SubscribedStream

LANE = SchemaLane.of(HOME, StreamName(STREAM))


@dataclass
class Left:
    """A stream that home has left, where it registered two versions."""

    fabric: MemoryFabric = field(
        default_factory=lambda: MemoryFabric(in_regions(SubscribedStream().topology, HOME, AWAY, FAR))
    )

    def __post_init__(self) -> None:
        every, self.topology = self.fabric.topology, in_regions(self.fabric.topology, AWAY, FAR)
        for region in (HOME, AWAY, FAR):
            self.fabric.declare(every, region=region)
        for document in (FIRST, SECOND):
            registration(self.fabric).register({"A": document})
        self.fabric.cloud.replicate()
        for region in (AWAY, FAR):
            self.fabric.declare(self.topology, region=region)
        self.fabric.cloud.replicate()
        first, second = self.fabric.cloud.log(STREAM, AWAY).recent(LANE, records_max=9).records[::-1]
        self.places = first.sequence, second.sequence

    def operations(self, region: Region = AWAY) -> Operations:
        ports = self.fabric.ports(region)
        return Operations(as_declared(self.topology, region, ports), region, ports)

    def reconcile(self, region: Region = AWAY, *, repair: bool = False) -> list[Finding]:
        return self.operations(region).reconcile(STREAM, repair=repair)

    def lose(self, sequence: SequenceNumber, *regions: Region) -> None:
        for region in regions:
            table = self.fabric.cloud.log_table(STREAM, region)
            table.write("Delete", {"Key": record_key(LANE, sequence)})

    def texts(self, region: Region = AWAY) -> list[int]:
        """Return the versions whose text can be read."""
        reader = registration(self.fabric, region=region, topology=self.topology).reader
        versions = reader.index().versions("A")
        return [own.number for own in versions if reader.document("A", own).content]


@pytest.fixture
def left() -> Left:
    return Left()


def test_nothing_is_found_while_all_that_are_left_have_the_same(left: Left) -> None:
    assert left.reconcile(AWAY) == left.reconcile(FAR) == []


def test_the_region_that_has_left_is_asked_nothing(left: Left) -> None:
    def without_home(region: Region) -> Ports:
        assert region != HOME
        return left.fabric.ports(region)

    ports = replace(left.fabric.ports(AWAY), at=without_home)
    operations = Operations(as_declared(left.topology, AWAY, ports), AWAY, ports)
    left.lose(left.places[0], AWAY)
    left.fabric.cloud.cut(AWAY)
    for _ in range(2):
        operations.reconcile(STREAM, full=True)
        left.fabric.clock.advance(86_400)
    findings = operations.reconcile(STREAM, repair=True, full=True)
    assert {finding.kind for finding in findings if finding.lane == LANE} == {FindingKind.HOLE}
    assert left.texts() == [1, 2]


@pytest.mark.parametrize("number", [0, 1])
def test_a_record_that_one_region_has_lost_is_copied_from_another(left: Left, number: int) -> None:
    left.lose(left.places[number], AWAY)
    left.fabric.cloud.cut(AWAY)
    kinds = [finding.kind for _ in range(2) for finding in left.reconcile()]
    assert FindingKind.HOLE in kinds or FindingKind.REPLICATION_DELAY in kinds
    left.fabric.clock.advance(86_400)
    assert any(finding.lane == LANE and finding.is_repaired for finding in left.reconcile(repair=True))
    assert left.texts() == [1, 2]


def test_what_was_verified_and_is_lost_everywhere_is_found_though_nobody_has_it(left: Left) -> None:
    left.reconcile()
    left.lose(left.places[1], AWAY, FAR)
    left.fabric.clock.advance(86_400)
    assert [(finding.kind, finding.lane) for finding in left.reconcile(repair=True)] == [
        (FindingKind.HOLE, LANE)
    ]


def test_it_is_proven_with_its_copies(left: Left) -> None:
    [prover] = left.operations().provers()
    [proof] = [own for own in prover.declarations() if own.lane == LANE]
    assert (proof.is_proven, proof.copies) == (True, {FAR: proof.end})
    left.lose(left.places[0], AWAY)
    [proof] = [own for own in prover.declarations() if own.lane == LANE]
    assert not proof.is_proven


def test_what_is_lost_is_restored_in_a_region_that_is_left(left: Left) -> None:
    left.lose(left.places[1], AWAY)
    left.fabric.cloud.cut(AWAY)
    left.operations().restore(STREAM, FAR).restore(LANE, left.places[1], by="ana", reason="")
    assert left.texts() == [1, 2]
    [prover] = left.operations().provers()
    assert [done.lane for done in prover.interventions()] == [LANE]


def test_what_is_spoilt_is_set_aside_in_a_region_that_is_left(left: Left) -> None:
    log = left.fabric.cloud.log(STREAM, AWAY)
    tail = log.tail(LANE)
    foreign = record_at(tail, LANE, batch_of([event("e")], bytes(16)), now_ms=1, retention_seconds=None)
    assert log.append(foreign) is None
    left.operations().quarantine(STREAM).set_aside(LANE, tail.sequence, by="ana", reason="")
    assert left.texts() == [1, 2]


def test_the_lanes_of_other_regions_are_mended_there(left: Left) -> None:
    other = SchemaLane.of(FAR, StreamName(STREAM)), SequenceNumber(0)
    with pytest.raises(RestoreRefusedError, match="say --region"):
        left.operations().restore(STREAM, FAR).look(*other)
    with pytest.raises(QuarantineRefusedError, match="say --region"):
        left.operations().quarantine(STREAM).fault(*other)


def test_a_region_whose_table_is_empty_is_filled_with_it(left: Left) -> None:
    log = left.fabric.cloud.log_table(STREAM, AWAY)
    for item in list(log.items):
        log.write("Delete", {"Key": {name: item[name] for name in ("pk", "sk")}})
    report = left.operations().backfill(STREAM, source=FAR)
    assert report.is_complete
    assert report.lanes[LANE].copied_records == 2
    assert left.texts() == [1, 2]
