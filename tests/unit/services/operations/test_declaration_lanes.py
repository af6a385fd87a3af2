"""Lanes of declarations that an operator mends: what is lost comes back, what is not theirs goes; none is skipped."""

import pytest

from eventfabric.errors import SkipRefusedError, UndecodableRecordError
from eventfabric.model import SequenceNumber
from eventfabric.model.catalogue import State
from eventfabric.services.catalogue.deployment import Deployer
from eventfabric.services.catalogue.lane import newest
from eventfabric.services.operations.quarantine import Quarantine
from eventfabric.services.operations.restore import Restore
from eventfabric.services.operations.seams import known_seams
from eventfabric.services.operations.skip import Skip
from eventfabric.wire.keys import record_key
from tests.support.memory_fabric import HOME
from tests.support.reconciliations import kinds
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream
from tests.unit.services.reconciliation.test_declarations import OF_HOME, declared, deployed, lose

NEWEST = SequenceNumber(2)


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
