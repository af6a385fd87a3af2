"""Declaring in a Region's lane: beside others, without replies, after rollbacks, and beside a later version."""

from dataclasses import replace

import pytest

from eventfabric.errors import (
    ContendedAppendError,
    NotDeclaredError,
    OutcomeUnknownError,
    UndecodableRecordError,
)
from eventfabric.model import (
    EMPTY_TAIL,
    BatchId,
    DeclarationLane,
    Lane,
    StreamName,
    parse_log_lane,
    record_at,
)
from eventfabric.model.catalogue import Declaration, State, in_state
from eventfabric.ports import Log
from eventfabric.services.catalogue.declare import declare
from eventfabric.services.catalogue.deployment import Deployer, declare_all
from eventfabric.services.catalogue.facts import declared_stream, subscription_facts
from eventfabric.services.catalogue.lane import history, newest
from eventfabric.testing.memory.faults import Fault, Faults, at_random, nth
from eventfabric.testing.memory.requests import Requests
from eventfabric.testing.memory.table_client import TableClient
from eventfabric.topology import Topology
from eventfabric.wire import record_item
from eventfabric.wire.declaration import batch_of, declaration_of
from eventfabric.wire.payload_codec import unpack
from tests.support.appends import mine
from tests.support.memory_fabric import AWAY, HOME, STREAM, MemoryFabric
from tests.support.subscribed_stream import SubscribedStream

OWN = DeclarationLane.of(HOME, StreamName(STREAM))


@pytest.fixture
def fabric() -> MemoryFabric:
    return SubscribedStream()


def deployer(fabric: MemoryFabric, request: str = "r1", log: Log | None = None) -> Deployer:
    ports = fabric.ports()
    if log is not None:
        ports = replace(ports, log_of=lambda stream: log)
    return Deployer(fabric.topology, HOME, ports, by="stack", request_id=request)


def declared(fabric: MemoryFabric) -> Declaration:
    known = newest(fabric.ports().log_of(fabric.stream), OWN)
    assert known is not None
    return known.declaration


def test_a_lane_of_declarations_is_known_by_its_text_and_is_no_lane_of_the_stream() -> None:
    assert str(OWN) == "@us-east-1/orders"
    assert parse_log_lane(str(OWN)) == OWN
    assert parse_log_lane("us-east-1/0.1") == Lane.parse("us-east-1/0.1")
    with pytest.raises(ValueError, match="not a lane"):
        Lane.parse(str(OWN))
    for text in ("@us-east-1/", "@/orders", "@us-east-1/orders/2", "@us-east-1/Orders"):
        with pytest.raises(ValueError, match="not a lane"):
            parse_log_lane(text)


def test_what_a_definition_deploys_is_declared_and_read_as_it_was(fabric: MemoryFabric) -> None:
    declare_all(deployer(fabric))
    read = declared(fabric)
    back = declared_stream(fabric.topology.fabric, read)
    assert back.definition == fabric.stream.definition
    left = replace(read, stream=replace(read.stream, former_regions=("sa-east-1",)))
    assert declared_stream(fabric.topology.fabric, left).former == ("sa-east-1",)
    for own, known in zip(fabric.stream.subscriptions, back.subscriptions, strict=True):
        assert (known.name, known.regions, known.queue) == (own.name, own.regions, own.queue)
        assert (
            subscription_facts(fabric.topology, own).standing_as(read.subscriptions[own.name])
            == (read.subscriptions[own.name])
        )
    changes = [known.change.kind for known in history(fabric.ports().log_of(fabric.stream), OWN)]
    assert changes == ["all deployed"]


def test_a_deployment_that_changes_nothing_declares_nothing(fabric: MemoryFabric) -> None:
    declare_all(deployer(fabric))
    before = newest(fabric.ports().log_of(fabric.stream), OWN)
    fabric.clock.advance(seconds=100)
    declare_all(deployer(fabric, "r2"))
    assert newest(fabric.ports().log_of(fabric.stream), OWN) == before


def test_a_subscription_is_declared_only_after_its_stream(fabric: MemoryFabric) -> None:
    with pytest.raises(NotDeclaredError, match="stream orders is not declared in us-east-1"):
        deployer(fabric).declare_subscription(fabric.stream.subscriptions[0])


def test_a_subscription_that_goes_is_undeployed_and_comes_back_as_it_was(fabric: MemoryFabric) -> None:
    declare_all(deployer(fabric))
    own = fabric.stream.subscriptions[0]
    deployer(fabric, "r2").declare_gone(own)
    assert declared(fabric).subscriptions[own.name].state is State.UNDEPLOYED
    assert not list(declared(fabric).rung())
    deployer(fabric, "r3").declare_subscription(own)
    assert declared(fabric).subscriptions[own.name].state is State.ACTIVE
    assert declared(fabric).subscriptions[own.name].incarnation == 0
    deployer(fabric, "r4").declare_subscription(own, rolls_back=True)
    deployer(fabric, "r5").declare_stream_gone(fabric.stream)
    assert not declared(fabric).stream.is_deployed


def test_nothing_is_declared_gone_that_was_never_declared(fabric: MemoryFabric) -> None:
    assert deployer(fabric).declare_gone(fabric.stream.subscriptions[0]) is None
    assert deployer(fabric).declare_stream_gone(fabric.stream) is None


@pytest.mark.parametrize("fault", [Fault.LOST_REPLY, Fault.LOST_REQUEST, Fault.THROTTLED])
def test_a_declaration_whose_reply_is_lost_stands_once(fabric: MemoryFabric, fault: Fault) -> None:
    log = Faults(nth(1, fault, name="log.append")).log(fabric.ports().log_of(fabric.stream))
    deployer(fabric, log=log).declare_stream(fabric.stream)
    assert len(list(history(fabric.ports().log_of(fabric.stream), OWN))) == 1


def test_a_declaration_that_gets_no_reply_for_long_says_so(fabric: MemoryFabric) -> None:
    silent = Faults(at_random(1, [Fault.LOST_REQUEST], seed=1)).log(fabric.ports().log_of(fabric.stream))
    with pytest.raises(OutcomeUnknownError):
        deployer(fabric, log=silent).declare_stream(fabric.stream)
    busy = Faults(at_random(1, [Fault.THROTTLED], seed=1)).log(fabric.ports().log_of(fabric.stream))
    with pytest.raises(ContendedAppendError, match="nothing was declared in @us-east-1/orders"):
        deployer(fabric, log=busy).declare_stream(fabric.stream)


def test_a_region_is_closing_from_when_its_declaration_was_put_not_from_when_somebody_asked(
    fabric: MemoryFabric,
) -> None:
    declare_all(deployer(fabric))
    definition = fabric.topology.definition
    section = replace(definition.fabric, closing=(AWAY,))
    closing = Topology(replace(definition, fabric=section))
    slow = replace(deployer(fabric, "r2"), topology=closing, refuse=lambda read: fabric.clock.advance(15))
    slow.declare_stream(closing.stream(STREAM))
    now_ms = fabric.clock.now_ms()
    assert (declared(fabric).stream.closing_since_ms, declared(fabric).change.at_ms) == (now_ms, now_ms)


def test_two_stacks_that_declare_at_once_both_stand(fabric: MemoryFabric) -> None:
    declare_all(deployer(fabric))
    own, log = fabric.stream.subscriptions[0], fabric.ports().log_of(fabric.stream)
    calls = 0

    def beside(read: Declaration | None) -> Declaration | None:
        nonlocal calls
        assert read is not None
        if not calls:  # another stack is faster
            deployer(fabric, "r2").declare_gone(own)
        calls += 1
        change = deployer(fabric, "r3").change("stream deployed")
        return read.with_stream(replace(read.stream, express=False), change)

    declare(log, OWN, beside, clock=fabric.clock, entropy=fabric.entropy, source="/shop/orders")
    assert calls == 2
    assert declared(fabric).subscriptions[own.name].state is State.UNDEPLOYED
    assert not declared(fabric).stream.express


def test_a_request_that_comes_again_undoes_nothing_that_was_declared_since(fabric: MemoryFabric) -> None:
    declare_all(deployer(fabric))
    own, log = fabric.stream.subscriptions[0], fabric.ports().log_of(fabric.stream)
    deployer(fabric, "r2").declare_gone(own)
    deployer(fabric, "r3").declare_subscription(own)
    change = deployer(fabric, "retire").change("retired", own.name)

    def retired(read: Declaration | None) -> Declaration | None:
        return read and in_state(read, own.name, State.RETIRED, change)

    declare(log, OWN, retired, clock=fabric.clock, entropy=fabric.entropy, source="/shop/orders")
    deployer(fabric, "r3").declare_subscription(own)  # the reply to the first time was lost
    assert declared(fabric).subscriptions[own.name].state is State.RETIRED
    deployer(fabric, "r4").declare_subscription(own)
    assert declared(fabric).subscriptions[own.name].incarnation == 1


def test_a_name_that_comes_back_has_the_incarnation_that_another_region_has_given_it(
    fabric: MemoryFabric,
) -> None:
    own, away = fabric.stream.subscriptions[0], fabric.ports(AWAY)
    there = Deployer(fabric.topology, AWAY, away, by="stack", request_id="there")
    for by in (deployer(fabric), there):
        declare_all(by)
        replace(by, request_id="end").declare_state(fabric.stream, own.name, State.RETIRED)
    replace(there, request_id="anew").declare_subscription(own)
    replace(there, request_id="end again").declare_state(fabric.stream, own.name, State.RETIRED)
    fabric.cloud.replicate()
    deployer(fabric, "anew").declare_subscription(own)
    assert declared(fabric).subscriptions[own.name].incarnation == 2
    deployer(fabric, "end again").declare_state(fabric.stream, own.name, State.RETIRED)
    fabric.cloud.replicate()
    replace(there, request_id="all anew").declare_together(fabric.stream)
    known = newest(away.log_of(fabric.stream), DeclarationLane.of(AWAY, StreamName(STREAM)))
    assert known is not None
    assert known.declaration.subscriptions[own.name].incarnation == 3


def test_what_a_later_version_declared_is_kept_by_an_earlier_one(fabric: MemoryFabric) -> None:
    declare_all(deployer(fabric))
    log, own = fabric.ports().log_of(fabric.stream), fabric.stream.subscriptions[0]
    known = newest(log, OWN)
    assert known is not None
    read = known.declaration
    later = replace(
        read,
        stream=replace(read.stream, unknown={"splits": [1, 2]}),
        subscriptions={"other": replace(read.subscriptions[own.name], name="other", unknown={"weight": 3})},
        unknown={"schemas": {"a": "b"}},
    )
    batch = batch_of(later, BatchId(bytes(16)), source="/shop/orders")
    record = record_at(known.tail, OWN, batch, now_ms=1, retention_seconds=None)
    assert log.append(record) is None
    assert declaration_of(record_item.from_item(record_item.to_item(record))) == later
    declare_all(deployer(fabric, "r2"))
    kept = declared(fabric)
    assert (kept.stream.unknown, kept.unknown) == ({"splits": [1, 2]}, {"schemas": {"a": "b"}})
    assert kept.subscriptions["other"].unknown == {"weight": 3}


def test_what_is_no_declaration_is_refused_with_its_place(fabric: MemoryFabric) -> None:
    log = fabric.ports().log_of(fabric.stream)
    record = record_at(EMPTY_TAIL, OWN, mine(), now_ms=1, retention_seconds=None)
    assert log.append(record) is None
    for read in (lambda: newest(log, OWN), lambda: list(history(log, OWN)), lambda: declaration_of(record)):
        with pytest.raises(UndecodableRecordError, match="@us-east-1/orders"):
            read()


def test_an_item_that_cannot_be_read_is_refused_with_its_place(fabric: MemoryFabric) -> None:
    table = TableClient(fabric.cloud.log_table(STREAM, HOME), Requests())
    table.put({"pk": {"S": str(OWN)}, "sk": {"N": "0"}, "n": {"S": "x"}})
    log = fabric.ports().log_of(fabric.stream)
    for read in (lambda: newest(log, OWN), lambda: list(history(log, OWN))):
        with pytest.raises(UndecodableRecordError, match="@us-east-1/orders"):
            read()


def test_a_declaration_is_an_event_that_says_which_request_made_it(fabric: MemoryFabric) -> None:
    declare_all(deployer(fabric, "the-request"))
    page = fabric.ports().log_of(fabric.stream).read(OWN, EMPTY_TAIL.sequence, records_max=9)
    assert [event.id for record in page.records for event in unpack(record)] == ["the-request"] * len(
        page.records
    )
    assert AWAY not in {record.lane.origin for record in page.records}
