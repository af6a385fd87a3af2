"""Lanes of declarations that an operator mends: what is lost comes back, what is not theirs goes; none is skipped."""

import pytest

from eventfabric.contracts.document import read_schema
from eventfabric.errors import (
    QuarantineRefusedError,
    RestoreRefusedError,
    SkipRefusedError,
    UndecodableRecordError,
)
from eventfabric.model import SchemaLane, SequenceNumber, StreamName, record_at
from eventfabric.model.catalogue import State
from eventfabric.model.finding import FindingKind
from eventfabric.sdk.operations import Operations
from eventfabric.services.catalogue.deployment import Deployer
from eventfabric.services.catalogue.incarnations import as_declared
from eventfabric.services.catalogue.lane import newest
from eventfabric.services.catalogue.schema_lane import SchemaReader
from eventfabric.services.catalogue.schema_push import Registration
from eventfabric.services.delivery.side_by_side import one_after_another
from eventfabric.services.operations.declared import DeclaredReader
from eventfabric.services.operations.differences import differences
from eventfabric.services.operations.quarantine import Quarantine
from eventfabric.services.operations.restore import Restore
from eventfabric.services.operations.seams import known_seams
from eventfabric.services.operations.skip import Skip
from eventfabric.wire.keys import record_key
from tests.support.later_declarations import append_content
from tests.support.memory_fabric import AWAY, HOME, STREAM, batch_of, event
from tests.support.reconciliations import kinds
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream
from tests.unit.services.reconciliation.test_declarations import OF_HOME, declared, deployed, lose

NEWEST = SequenceNumber(2)


def spoil(fabric: SubscribedStream, sequence: int = NEWEST) -> None:
    """Replace the payload of a declaration in home's table by what nobody can read."""
    [item] = [
        item
        for item in fabric.table.items
        if item["pk"]["S"] == str(OF_HOME) and item["sk"]["N"] == str(sequence)
    ]
    fabric.table.write("Put", {"Item": {**item, "d": {"B": b"?"}}})


def operations(fabric: SubscribedStream) -> Operations:
    return Operations(as_declared(fabric.topology, HOME, fabric.ports()), HOME, fabric.ports())


def test_the_newest_declaration_comes_back_from_a_copy_by_what_reconciliation_saw() -> None:
    fabric, copy = deployed(), deployed()
    lose(fabric, NEWEST)
    restore = Restore(
        fabric.log,
        region=HOME,
        copy=copy.log,
        known_seams=lambda lane: known_seams(fabric.stream, lane, ledger=fabric.ledger),
        clock=fabric.clock,
    )
    restore.restore(OF_HOME, NEWEST, by="ana", reason="a table of yesterday")
    assert declared(fabric) == ["again", "gone", "deployed"]
    assert kinds(fabric) == []
    assert [done.sequence for done in fabric.log.interventions(OF_HOME)] == [NEWEST]


def test_an_item_that_is_no_declaration_is_set_aside_and_functions_read_what_was_before() -> None:
    fabric = deployed()
    spoilt = {**record_key(OF_HOME, SequenceNumber(3)), "n": {"S": "spoilt"}}
    fabric.table.write("Put", {"Item": spoilt})
    with pytest.raises(UndecodableRecordError):
        newest(fabric.log, OF_HOME)
    quarantine = Quarantine(fabric.log, region=HOME, clock=fabric.clock)
    quarantine.set_aside(OF_HOME, SequenceNumber(3), by="ana", reason="")
    assert declared(fabric) == ["again", "gone", "deployed"]
    deployer = Deployer(fabric.topology, HOME, fabric.ports(), by="stack", request_id="next")
    deployer.declare_state(fabric.stream, SUBSCRIPTION, State.DRAINING)
    assert declared(fabric)[0] == "next"


def test_no_declaration_is_skipped() -> None:
    fabric: SubscribedStream = deployed()
    lose(fabric, 1)
    skip = Skip(
        fabric.log,
        region=HOME,
        clock=fabric.clock,
        elsewhere={},
        known_seams=lambda lane: known_seams(fabric.stream, lane, ledger=fabric.ledger),
        retention_seconds=None,
    )
    with pytest.raises(SkipRefusedError, match="lanes restore"):
        skip.look(OF_HOME, SequenceNumber(1))


def test_the_newest_declaration_comes_back_from_another_region_though_no_pass_saw_it() -> None:
    fabric, copy = deployed(), deployed()
    for own in (fabric, copy):
        deployer = Deployer(own.topology, HOME, own.ports(), by="stack", request_id="next")
        deployer.declare_state(own.stream, SUBSCRIPTION, State.DRAINING)
    fabric.cloud.replicate()
    away = fabric.cloud.log(STREAM, AWAY).recent(OF_HOME, records_max=1)
    fabric.cloud.cut(AWAY)
    spoil(fabric, 3)
    place = OF_HOME, SequenceNumber(3)
    with pytest.raises(RestoreRefusedError, match="nothing proves it"):
        operations(fabric).restore(STREAM, copy.log).look(*place)
    operations(fabric).restore(STREAM, AWAY).restore(*place, by="ana", reason="spoilt")
    assert fabric.log.recent(OF_HOME, records_max=1) == away
    assert declared(fabric)[0] == "next"


def test_operators_go_on_while_the_newest_declaration_is_spoilt() -> None:
    fabric = deployed()
    fabric.put(event("a"))
    fabric.deliver()
    spoil(fabric)
    tools = operations(fabric)
    proofs = tools.prove()
    assert [proof.events for proof in proofs if proof.events] == [1]
    assert all(proof.is_proven for proof in proofs)
    assert list(tools.parked(SUBSCRIPTION)) == []
    assert list(tools.dead_letters(SUBSCRIPTION).find()) == []
    tools.pause(SUBSCRIPTION)
    assert {FindingKind.UNREADABLE} == {finding.kind for finding in tools.reconcile(STREAM)}


def test_what_is_declared_is_shown_as_far_as_it_can_be_read_with_what_to_do() -> None:
    fabric = deployed()
    reader = DeclaredReader(fabric.ports(), one_after_another)
    for sequence, is_known in ((2, True), (1, False)):
        spoil(fabric, sequence)
        own, *_ = read = reader.read(fabric.stream, [HOME])
        assert (own.declaration is not None) is is_known
        [difference] = [
            own for own in differences(STREAM, read, fabric.topology, {}) if not own.subscription
        ][:1]
        assert "its newest declaration cannot be read" in str(difference)
        assert "docs/runbook.md, A declaration that cannot be read" in str(difference)


def test_content_that_declares_nothing_is_set_aside_at_the_end_of_its_lane_alone() -> None:
    fabric = deployed()
    append_content(fabric.log, OF_HOME, fabric.clock, lambda content: b'{"stream":{}}')
    quarantine = Quarantine(fabric.log, region=HOME, clock=fabric.clock)
    for whole in range(NEWEST):
        with pytest.raises(QuarantineRefusedError, match="the lane's own"):
            quarantine.fault(OF_HOME, SequenceNumber(whole))
    end = SequenceNumber(NEWEST + 1)
    with pytest.raises(UndecodableRecordError):
        newest(fabric.log, OF_HOME)
    assert quarantine.set_aside(OF_HOME, end, by="ana", reason="by a script").sequence == end
    assert newest(fabric.log, OF_HOME) is not None


def test_content_that_registers_nothing_is_set_aside_and_what_does_is_left_alone() -> None:
    fabric = deployed()
    reader, lane = SchemaReader(fabric.stream, fabric.log), SchemaLane.of(HOME, StreamName(STREAM))
    by = Registration(reader, lambda *_: (), fabric.clock, fabric.entropy, by="ci", request_id="s1")
    by.register({"placed": read_schema("true", where="-")})
    quarantine = Quarantine(fabric.log, region=HOME, clock=fabric.clock)
    with pytest.raises(QuarantineRefusedError, match="the lane's own"):
        quarantine.fault(lane, SequenceNumber(0))
    record = record_at(
        fabric.log.tail(lane), lane, batch_of([event("e")], bytes(16)), now_ms=1, retention_seconds=None
    )
    assert fabric.log.append(record) is None
    with pytest.raises(UndecodableRecordError):
        reader.index()
    quarantine.set_aside(lane, record.sequence, by="ana", reason="by a script")
    assert [version.number for version in reader.index().versions("placed")] == [1]
