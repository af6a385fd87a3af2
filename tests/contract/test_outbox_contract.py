"""The promises of ports.Outbox, on every backend: records and writes together, once; or what stands in their way."""

from random import Random
from typing import Any

import pytest

from eventfabric import Fabric, limits
from eventfabric.definition.file import parse_definition
from eventfabric.errors import OnceConflictError, TransactionRefusedError, TransactionTooLargeError
from eventfabric.model import EMPTY_TAIL, Lane, Record, SequenceNumber
from eventfabric.testing.memory.entropy import SeededEntropy
from eventfabric.topology import Topology
from eventfabric.wire.payload_codec import unpack
from tests.support.backends import HOME, OWN_TABLE, Backend

TOPOLOGY = Topology(
    parse_definition(f'[fabric]\nname = "shop"\nregions = ["{HOME}"]\n[streams.orders]\nlanes = 1\n')
)
LANE = Lane.parse(f"{HOME}/0.0")
NOISE = Random(3).randbytes(135_000)


def fabric_on(backend: Backend) -> Fabric:
    return Fabric(
        TOPOLOGY,
        HOME,
        log_of=lambda stream, region: backend.log,
        clock=backend.clock,
        entropy=SeededEntropy(9),
        outbox=backend.outbox,
        parallel_lanes=0,
    )


def records(backend: Backend) -> list[Record]:
    """All records, each of which extends the one before it."""
    log_records, chain = (
        list(backend.log.read(LANE, SequenceNumber(0), records_max=100).records),
        EMPTY_TAIL.chain,
    )
    for record in log_records:
        assert record.extends(chain)
        chain = record.chain
    return log_records


def test_a_lanes_events_in_several_records_become_durable_with_the_writes(backend: Backend) -> None:
    fabric = fabric_on(backend)
    fabric.publish("orders", key="k", type="t", id="before")
    with fabric.transaction() as transaction:
        transaction.put(OWN_TABLE, {"id": "a"})
        for number in range(4):
            transaction.publish("orders", key="k", type="t", id=f"e{number}", data=NOISE)
    assert [(receipt.event_id, receipt.sequence) for receipt in transaction.receipts] == [
        (f"e{number}", number + 1) for number in range(4)
    ]
    assert [event.id for record in records(backend) for event in unpack(record)] == [
        "before",
        "e0",
        "e1",
        "e2",
        "e3",
    ]
    assert [record.count for record in records(backend)] == [1] * 5
    assert backend.get(OWN_TABLE, {"id": {"S": "a"}}) is not None


def test_a_transaction_whose_reply_is_lost_stands_there_once(backend: Backend) -> None:
    transaction = fabric_on(backend).transaction()
    for number in range(3):
        transaction.publish("orders", key="k", type="t", id=f"e{number}", data=NOISE)
    make = transaction._make_append

    def with_the_tail(*arguments: Any) -> Any:
        made = make(*arguments)
        made._tails.records(made._postings)
        backend.lose_replies(1)  # of the transaction
        return made

    transaction._make_append = with_the_tail
    transaction.commit()
    assert len(records(backend)) == 3


def test_no_record_is_there_where_a_write_is_refused(backend: Backend) -> None:
    backend.put(OWN_TABLE, {"id": {"S": "taken"}})
    transaction = fabric_on(backend).transaction()
    transaction.put(OWN_TABLE, {"id": "taken"}, condition="attribute_not_exists(id)")
    for _ in range(3):
        transaction.publish("orders", key="k", type="t", data=NOISE)
    with pytest.raises(TransactionRefusedError, match="write 0 was refused: ConditionalCheckFailed"):
        transaction.commit()
    assert records(backend) == []


def test_an_item_larger_than_any_may_be_is_refused_with_all_that_goes_with_it(backend: Backend) -> None:
    transaction = fabric_on(backend).transaction()
    transaction.publish("orders", key="k", type="t")
    transaction.put(OWN_TABLE, {"id": "a", "v": bytes(limits.ITEM_BYTES_MAX)})
    with pytest.raises(TransactionTooLargeError, match="write 0 was refused: ItemTooLarge"):
        transaction.commit()
    assert (records(backend), backend.get(OWN_TABLE, {"id": {"S": "a"}})) == ([], None)


def test_an_event_that_was_published_once_is_compared_with_its_note(backend: Backend) -> None:
    fabric = fabric_on(backend)
    first = fabric.publish("orders", key="k", type="t", id="1", source="/a", data={"n": 1}, once=True)
    assert fabric.publish("orders", key="k", type="t", id="1", source="/a", data={"n": 1}, once=True) == first
    with pytest.raises(OnceConflictError) as raised:
        fabric.publish("orders", key="k", type="t", id="1", source="/a", data={"n": 2}, once=True)
    assert (raised.value.differs, raised.value.sequence) == (("data",), first.sequence)
    other = fabric.publish("orders", key="k", type="t", id="1", source="/b", data={"n": 2}, once=True)
    assert other.sequence == first.sequence + 1
    assert [event.source for record in records(backend) for event in unpack(record)] == ["/a", "/b"]
