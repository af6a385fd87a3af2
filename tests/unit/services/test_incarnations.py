"""A subscription that takes a retired name: it shares no state with the one before, whose items stay as they are."""

from eventfabric.deployment.permissions import Statement, of_function
from eventfabric.model import LaneKey, Mark, Region, SequenceNumber, StreamName, SubscriptionName
from eventfabric.services.proof.prove import Prover
from eventfabric.stream_topology import Incarnation
from eventfabric.topology import Topology
from eventfabric.wire.keys import Item, lane_key_of
from eventfabric.wire.published import published_id
from tests.support.memory_fabric import HOME, LANE, STREAM
from tests.support.reconciliations import healthy, kinds
from tests.support.recording_handler import Recorder
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream, topology

FIRST, THIRD = SUBSCRIPTION, f"{SUBSCRIPTION}#2"


def in_incarnation(number: int) -> Topology:
    return Topology(topology().definition, {SUBSCRIPTION: Incarnation(number)})


def states(fabric: SubscribedStream, name: str) -> list[Item]:
    """Return the ledger's items of one incarnation: of its lanes, and of itself as a whole."""
    items = fabric.cloud.regions[HOME].table(fabric.topology.ledger.name).items
    return [item for item in items if item["pk"]["S"].split("/")[1] == name]


def mark(fabric: SubscribedStream) -> Mark:
    return fabric.ledger.marks(StreamName(STREAM), HOME).of(LANE.index)


def test_it_begins_anew_and_leaves_what_was_before_as_it_is() -> None:
    fabric = healthy(records=2)
    assert kinds(fabric) == []  # the first pass lets nothing rest
    before = states(fabric, FIRST)
    assert len(before) == 3  # the cursor, the lanes' owner, and a note of who looked
    fabric.topology, fabric.handler = in_incarnation(2), Recorder()
    assert fabric.subscription.state_name == THIRD
    assert states(fabric, THIRD) == []
    assert fabric.deliver().done
    assert fabric.recorder.ids() == ["a0", "b0", "a1", "b1"]
    rested = mark(fabric)
    assert kinds(fabric) == kinds(fabric) == []
    assert [*rested.cursors, *mark(fabric).cursors] == [FIRST, THIRD]
    assert rested.rests_for != mark(fabric).rests_for  # so no lane rests for the one before
    assert states(fabric, FIRST) == before
    assert {lane_key_of(item).subscription for item in states(fabric, THIRD) if "/cursor" in str(item)} == {
        THIRD
    }
    assert len(states(fabric, THIRD)) == len(before)


def test_findings_and_proofs_have_its_plain_name() -> None:
    fabric = healthy(records=2)
    fabric.topology = in_incarnation(2)
    fabric.deliver()
    [proof] = Prover(fabric.stream, [fabric.subscription], fabric.ports()).prove(LANE)
    assert (proof.subscription, proof.cursor.sequence, proof.is_proven) == (FIRST, 4, True)


def test_it_publishes_under_ids_of_its_own() -> None:
    ids = {
        published_id(
            in_incarnation(number).subscription(FIRST).state_name,
            STREAM,
            LANE,
            SequenceNumber(1),
            edit="",
            name=0,
        )
        for number in range(3)
    }
    assert len(ids) == 3
    assert published_id(FIRST, STREAM, LANE, SequenceNumber(1), edit="", name=0) in ids


def test_its_function_may_write_under_all_incarnations_of_its_name_and_under_no_other() -> None:
    topology_ = topology()
    statements = of_function(topology_, topology_.deliver_function(FIRST, HOME))

    def may_write(name: str) -> bool:
        key = LaneKey(StreamName(STREAM), SubscriptionName(name), LANE)
        return any(_writes(statement, topology_, str(key)) for statement in statements)

    assert may_write(FIRST)
    assert may_write(THIRD)
    assert not may_write(f"{FIRST}s")
    assert not may_write(f"{FIRST}-2")


def _writes(statement: Statement, of: Topology, key: str) -> bool:
    return any(
        statement.allows("dynamodb:PutItem", resource, [key])
        for resource in statement.resources
        if resource.name == f"table/{of.ledger.name}" and resource.region == Region(HOME)
    )
