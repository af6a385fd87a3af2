"""Proofs of declarations: each record by the one before it, and each Region's copy by the others."""

from dataclasses import replace

import pytest

from eventfabric.errors import OutcomeUnknownError
from eventfabric.model import EMPTY_TAIL, Region
from eventfabric.model.catalogue import State
from eventfabric.model.finding import FindingKind
from eventfabric.model.proof import DeclarationsProof
from eventfabric.ports import Ports
from eventfabric.services.proof.declarations import DeclarationsProver
from eventfabric.testing.memory.faults import Fault, Faults
from eventfabric.wire import record_item
from tests.support.memory_fabric import AWAY, HOME
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream
from tests.unit.services.reconciliation.test_declarations import (
    OF_AWAY,
    OF_HOME,
    deployed,
    deployer_of,
    lose,
)


def proofs(fabric: SubscribedStream, ports: Ports | None = None) -> list[DeclarationsProof]:
    return DeclarationsProver(fabric.stream, ports or fabric.ports(fabric.region)).prove()


def change(fabric: SubscribedStream, sequence: int) -> None:
    """Change who made a declaration, as nobody may."""
    [record] = [
        r
        for r in fabric.log.read(OF_HOME, EMPTY_TAIL.sequence, records_max=9).records
        if r.sequence == sequence
    ]
    spoilt = replace(record, types=frozenset({"changed"}))
    fabric.table.write("Put", {"Item": record_item.to_item(spoilt)})


def test_what_is_declared_is_proven_in_each_region_with_its_copies() -> None:
    fabric = deployed()
    for region, other in ((HOME, AWAY), (AWAY, HOME)):
        shown = [
            (proof.lane, proof.region, proof.end, proof.copies, proof.is_proven)
            for proof in proofs(fabric.in_region(region))
        ]
        assert shown == [
            (OF_HOME, region, 3, {other: 3}, True),
            (OF_AWAY, region, 1, {other: 1}, True),
        ]


def test_a_stream_of_which_nothing_is_declared_has_nothing_to_prove() -> None:
    assert proofs(SubscribedStream()) == []


def test_a_copy_that_is_behind_is_proven_as_far_as_it_goes() -> None:
    fabric = deployed()
    fabric.cloud.cut(AWAY)
    deployer_of(fabric, HOME, "retired").declare_state(fabric.stream, SUBSCRIPTION, State.RETIRED)
    here, there = proofs(fabric), proofs(fabric.in_region(AWAY))
    assert (here[0].end, here[0].copies, here[0].is_proven) == (4, {AWAY: 3}, True)
    assert (there[0].end, there[0].copies, there[0].is_proven) == (3, {HOME: 4}, True)


@pytest.mark.parametrize("sequence", [0, 1])
def test_a_declaration_that_was_removed_is_a_hole(sequence: int) -> None:
    fabric = deployed()
    lose(fabric, sequence)
    wrong = proofs(fabric)[0].wrong
    assert wrong is not None
    assert (wrong.kind, wrong.sequence, wrong.lane) == (FindingKind.HOLE, sequence, OF_HOME)
    assert proofs(fabric)[1].is_proven


@pytest.mark.parametrize("sequence", [0, 1, 2])
def test_a_declaration_that_was_changed_is_a_divergence(sequence: int) -> None:
    fabric = deployed()
    change(fabric, sequence)
    wrong = proofs(fabric)[0].wrong
    assert wrong is not None
    assert wrong.kind is FindingKind.DIVERGENCE


def test_another_history_with_right_chains_is_contradicted_by_the_other_region() -> None:
    fabric = deployed()
    lose(fabric, 2)
    deployer_of(fabric, HOME, "other").declare_state(fabric.stream, SUBSCRIPTION, State.DRAINING)
    deployer_of(fabric, HOME, "more").declare_state(fabric.stream, SUBSCRIPTION, State.RETIRED)
    for region in (HOME, AWAY):
        wrong = proofs(fabric.in_region(region))[0].wrong
        assert wrong is not None
        assert (wrong.kind, wrong.region) == (FindingKind.DIVERGENCE, region)


def test_a_region_that_gives_no_answer_or_has_a_hole_contradicts_nothing() -> None:
    fabric = deployed()
    silent = Faults(lambda name, overall, of_name: Fault.LOST_REQUEST).ports(fabric.ports(Region(AWAY)))
    with pytest.raises(OutcomeUnknownError):
        silent.log_of(fabric.stream).tail(OF_HOME)
    ports = replace(fabric.ports(), at=lambda region: silent)
    assert [(proof.copies, proof.is_proven) for proof in proofs(fabric, ports)] == [({AWAY: None}, True)] * 2
    lose(fabric, 2)
    lose(fabric.in_region(AWAY), 1)
    assert proofs(fabric)[0].is_proven
