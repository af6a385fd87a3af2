"""A producer's transaction as large as it may be, and larger: split into records that are read, or refused unsent."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventfabric import limits
from eventfabric.errors import IndeterminateTransactionError, TransactionTooLargeError
from eventfabric.model import EMPTY_TAIL, Lane, Record
from eventfabric.sdk.outbox import OutboxTransaction
from eventfabric.testing.memory.faults import Fault, Faults, nth
from eventfabric.wire.item_size import item_bytes
from tests.support.messages import raises_with
from tests.support.outbox_producers import US, OutboxProducers

NOISE = Random(7).randbytes(2**21)
LANE = Lane.parse(f"{US}/0.0")


def records(producers: OutboxProducers) -> list[Record]:
    """The records of the audit's only lane; each extends the one before it."""
    log_records = producers.records(LANE, "audit")
    chain, sequence = EMPTY_TAIL.chain, 0
    for record in log_records:
        assert (record.sequence, record.extends(chain)) == (sequence, True)
        chain, sequence = record.chain, record.tail.sequence
    return log_records


def publish(transaction: OutboxTransaction, number: int, data: object, *, type: str = "Seen") -> None:
    transaction.publish("audit", key="k", type=type, id=f"e{number}", data=data)


def committed(producers: OutboxProducers, transaction: OutboxTransaction, count: int) -> list[Record]:
    """Commit; every event is read at its place, in the order of publishing."""
    receipts = transaction.commit()
    assert [(receipt.event_id, receipt.sequence) for receipt in receipts] == [
        (f"e{n}", n) for n in range(count)
    ]
    assert [event.id for event in producers.events("audit")] == [f"e{n}" for n in range(count)]
    return records(producers)


def test_events_that_compress_to_nothing_are_split_so_that_each_record_is_read() -> None:
    producers = OutboxProducers()
    transaction = producers.fabric().transaction()
    for number in range(5):
        publish(transaction, number, "a" * 238_000)
    assert len(committed(producers, transaction, 5)) == 5


def test_more_events_than_one_record_takes_are_split() -> None:
    producers = OutboxProducers()
    transaction = producers.fabric().transaction()
    for number in range(1_500):
        publish(transaction, number, number)
    assert [record.count for record in committed(producers, transaction, 1_500)] == [1_000, 500]


def test_more_types_than_one_record_takes_are_split() -> None:
    producers = OutboxProducers()
    transaction = producers.fabric().transaction()
    for number in range(150):
        publish(transaction, number, number, type=f"T{number}")
    assert [len(record.types) for record in committed(producers, transaction, 150)] == [100, 50]


def test_large_events_that_do_not_compress_are_a_record_each() -> None:
    producers = OutboxProducers()
    transaction = producers.fabric().transaction()
    for number in range(4):
        publish(transaction, number, NOISE[number : number + 128 * 1024])
    assert [record.count for record in committed(producers, transaction, 4)] == [1, 1, 1, 1]
    assert [event.data for event in producers.events("audit")] == [
        NOISE[n : n + 128 * 1024] for n in range(4)
    ]


def test_a_split_lane_whose_place_is_taken_goes_behind_what_stands_there_whole() -> None:
    producers = OutboxProducers()
    fabric = producers.fabric(Faults(nth(1, Fault.LOST_REPLY, name="transact")), tries=1)
    transaction = fabric.transaction()
    for number in range(4):
        publish(transaction, number, NOISE[number : number + 128 * 1024])
    committed(producers, transaction, 4)
    second = fabric.transaction()
    for number in range(2):
        publish(second, number, "a" * 238_000)
    append = second._make_append

    def overtaken(*arguments: object) -> object:
        made = append(*arguments)  # type: ignore[arg-type]  # as they came
        made._tails.records(made._postings)
        producers.fabric().publish("audit", key="k", type="Seen", id="other")
        return made

    second._make_append = overtaken  # type: ignore[assignment]  # the tail is read, and then somebody else writes
    assert [receipt.sequence for receipt in second.commit()] == [5, 6]
    assert [record.count for record in records(producers)] == [1] * 7


@pytest.mark.parametrize("fault", [Fault.LOST_REPLY, Fault.LOST_REQUEST])
def test_a_split_transaction_without_a_reply_is_settled_once(fault: Fault) -> None:
    producers = OutboxProducers()
    faults = Faults(lambda name, number, of_name: fault if name == "transact" else None)
    transaction = producers.fabric(faults, timeout_seconds=1).transaction()
    for number in range(3):
        publish(transaction, number, "a" * 238_000)
    with pytest.raises(IndeterminateTransactionError):
        transaction.commit()
    producers.clock.advance(3600)
    faults.heal()
    assert len(committed(producers, transaction, 3)) == 3


def nothing_sent(
    producers: OutboxProducers, transaction: OutboxTransaction, faults: Faults
) -> TransactionTooLargeError:
    """Why the commit is refused."""
    with pytest.raises(TransactionTooLargeError) as refused:
        transaction.commit()
    assert faults.calls == []
    assert (producers.events("audit"), producers.own.items) == ([], [])
    return refused.value


def test_more_bytes_than_a_transaction_takes_are_refused_before_anything_is_sent() -> None:
    producers, faults = OutboxProducers(), Faults()
    transaction = producers.fabric(faults).transaction()
    for number in range(17):
        publish(transaction, number, NOISE[number : number + 255_000])
    error = nothing_sent(producers, transaction, faults)
    assert (error.index, error.code, error.retryable) == (-1, "TooManyBytes", False)
    assert "at most 4,194,304" in str(error)


def test_a_callers_writes_count_with_the_events() -> None:
    producers, faults = OutboxProducers(), Faults()
    transaction = producers.fabric(faults).transaction()
    for number in range(15):
        publish(transaction, number, NOISE[number : number + 255_000])
    for number in range(2):
        transaction.put("own", {"id": f"{number}", "v": NOISE[: 300 * 1024]})
    assert nothing_sent(producers, transaction, faults).code == "TooManyBytes"


def test_an_item_that_is_too_large_is_named_by_its_write() -> None:
    producers, faults = OutboxProducers(), Faults()
    transaction = producers.fabric(faults).transaction()
    transaction.put("own", {"id": "small"})
    transaction.put("own", {"id": "large", "v": NOISE[: 400 * 1024]})
    error = nothing_sent(producers, transaction, faults)
    assert (error.index, error.code) == (1, "ItemTooLarge")


def test_a_record_too_many_is_refused_where_it_is_published_and_the_rest_can_be_committed() -> None:
    producers = OutboxProducers()
    transaction = producers.fabric().transaction()
    for number in range(99):
        transaction.put("own", {"id": str(number)})
    publish(transaction, 0, "a" * 200_000)
    with raises_with(TransactionTooLargeError, "TooManyActions", "found 101 actions", "at most 100"):
        publish(transaction, 1, "a" * 200_000)
    publish(transaction, 1, "fits beside the first")
    assert len(committed(producers, transaction, 2)) == 1
    assert len(producers.own.items) == 99


def test_a_write_too_many_is_refused_before_anything_is_sent() -> None:
    producers, faults = OutboxProducers(), Faults()
    transaction = producers.fabric(faults).transaction()
    publish(transaction, 0, None)
    for number in range(100):
        transaction.put("own", {"id": str(number)})
    assert nothing_sent(producers, transaction, faults).code == "TooManyActions"


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 250_000), st.booleans(), st.integers(0, 120)), min_size=1, max_size=25)
)
def test_whatever_is_published_together_is_read_back_or_refused_unsent(
    shapes: list[tuple[int, bool, int]],
) -> None:
    producers, faults = OutboxProducers(), Faults()
    transaction = producers.fabric(faults).transaction()
    for number, (size, compresses, type_) in enumerate(shapes):
        data = bytes(size) if compresses else NOISE[number : number + size]
        publish(transaction, number, data, type=f"T{type_}")
    try:
        transaction.commit()
    except TransactionTooLargeError:
        assert faults.calls == []
        assert sum(size for size, compresses, _ in shapes if not compresses) > 3_900_000
        return
    read = producers.events("audit")
    assert [len(event.data) for event in read] == [size for size, _, _ in shapes]
    items = producers.cloud.regions[US].table("shop-audit").items
    assert max(map(item_bytes, items)) <= limits.ITEM_BYTES_MAX
    assert sum(map(item_bytes, items)) <= limits.TRANSACTION_BYTES_MAX
    assert len(records(producers)) == len(items)
