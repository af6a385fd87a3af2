"""Proofs of lanes that were split: the chain and the sequences go on in the children."""

from dataclasses import replace

import pytest

from eventfabric.errors import SettingError
from eventfabric.model import EMPTY_TAIL, Lane, record_at
from eventfabric.model.finding import FindingKind
from eventfabric.model.proof import ExceptionKind, LaneProof
from eventfabric.services.proof.prove import Prover
from eventfabric.testing.memory.faults import Faults
from eventfabric.wire import record_item
from eventfabric.wire.keys import record_key
from tests.support.failing_handlers import Failing, dead_letters, fabric_of, retry, the_dead_letter
from tests.support.memory_fabric import LANE, batch_of, event
from tests.support.splits import event_in, pass_seal, put_in, split, split_twice, start
from tests.support.subscribed_stream import SubscribedStream

LEFT, RIGHT = LANE.children


def proofs(fabric: SubscribedStream, lane: Lane | None = None) -> dict[Lane, LaneProof]:
    prover = Prover(fabric.stream, [fabric.subscription], fabric.ports(), lane=lane)
    return {proof.lane: proof for root in prover.lanes for proof in prover.prove(root)}


def test_a_tree_is_proven_lane_by_lane_and_a_seal_is_no_event() -> None:
    every = proofs(split_twice())
    assert all(proof.is_proven for proof in every.values())
    shown = {
        lane: (proof.begins, proof.start, proof.cursor.sequence, proof.events)
        for lane, proof in every.items()
    }
    assert shown == {
        LANE: (0, 0, 3, 2),
        LEFT: (3, 3, 6, 2),
        RIGHT: (3, 3, 3, 0),
        LEFT.children[0]: (6, 6, 6, 0),
        LEFT.children[1]: (6, 6, 7, 1),
    }
    assert [proof.tail for proof in every.values()] == [proof.cursor.sequence for proof in every.values()]


def test_one_lane_of_a_tree_is_proven_by_itself() -> None:
    fabric = split_twice()
    assert list(proofs(fabric, LEFT)) == [LEFT]
    assert list(proofs(fabric, LANE)) == [LANE]
    with pytest.raises(SettingError, match="into which they were split"):
        proofs(fabric, RIGHT.children[0])


def test_a_child_whose_records_do_not_continue_the_seal_is_not_proven() -> None:
    fabric = split_twice()
    forged = record_at(
        replace(EMPTY_TAIL, sequence=start(fabric, LEFT).sequence),
        LEFT,
        batch_of([event("x"), event("y")], b"x" * 16),
        now_ms=fabric.clock.now_ms(),
        retention_seconds=None,
    )
    fabric.table.write("Put", {"Item": record_item.to_item(forged)})
    every = proofs(fabric)
    wrong = every[LEFT].wrong
    assert wrong is not None
    assert wrong.kind is FindingKind.DIVERGENCE
    assert every[LANE].is_proven


def test_a_seal_that_is_lost_leaves_its_children_unproven() -> None:
    fabric = split_twice()
    fabric.table.write("Delete", {"Key": record_key(LANE, 2)})
    every = proofs(fabric)
    kinds = {lane: proof.wrong.kind for lane, proof in every.items() if proof.wrong is not None}
    assert kinds == {LANE: FindingKind.CURSOR_AHEAD, LEFT: FindingKind.HOLE, RIGHT: FindingKind.HOLE}


def test_events_that_wait_in_a_child_are_excepted_where_they_stand() -> None:
    fabric = fabric_of(Failing({"bad": 99}), **retry(immediate=0, attempts=1))
    fabric.put(event_in(fabric, LEFT, "bad"), event_in(fabric, LEFT, "behind"), event_in(fabric, RIGHT, "ok"))
    fabric.deliver()
    split(fabric)
    pass_seal(fabric)
    put_in(fabric, LEFT, event_in(fabric, LEFT, "later"))
    fabric.deliver(LEFT)
    assert exceptions(fabric) == {
        LANE: [(0, ExceptionKind.DEAD), (1, ExceptionKind.WAITING)],
        LEFT: [(4, ExceptionKind.WAITING)],
        RIGHT: [],
    }
    dead_letters(fabric).discard(the_dead_letter(fabric))
    assert exceptions(fabric)[LANE][0] == (0, ExceptionKind.DISCARDED)
    assert all(proof.is_proven for proof in proofs(fabric).values())


def exceptions(fabric: SubscribedStream) -> dict[Lane, list[tuple[int, ExceptionKind]]]:
    return {
        lane: [(int(exempt.sequence), exempt.kind) for exempt in proof.exceptions]
        for lane, proof in proofs(fabric).items()
    }


def test_a_child_that_was_begun_by_another_passing_is_left_out() -> None:
    fabric = split_twice()
    key = fabric.key_of(LEFT)
    read = fabric.cursor(LEFT)
    assert read.begun is not None
    fabric.ledger.commit(key, read, replace(read, begun=replace(read.begun, version=99)))
    assert list(proofs(fabric)) == [LANE, RIGHT]


def test_a_lane_that_was_never_split_takes_no_read_more() -> None:
    fabric, faults = SubscribedStream(), Faults()
    fabric.put(event("a"))
    fabric.deliver()
    prover = Prover(fabric.stream, [fabric.subscription], faults.ports(fabric.ports()))
    faults.calls.clear()
    assert [proof.is_proven for proof in prover.prove(LANE)] == [True]
    assert sorted(faults.calls) == ["ledger.settled", "ledger.state", "log.read", "log.tail"]
