"""Transactions of producers into lanes that are split meanwhile: planned and counted anew, and still all or nothing."""

from typing import Final

import pytest

from eventfabric import Fabric
from eventfabric.errors import IndeterminateTransactionError, TransactionTooLargeError
from eventfabric.limits import TRANSACTION_ACTIONS_MAX
from eventfabric.sdk.outbox import OutboxTransaction
from eventfabric.testing.memory.faults import Fault, Faults
from eventfabric.testing.memory.requests import Requests
from tests.support.memory_fabric import HOME, LANE, STREAM
from tests.support.producers import always
from tests.support.split_logs import events_of_keys, records_below
from tests.support.split_stream import LANES, LEFT, RIGHT, SplitStream, key_of

LEFT_KEY, RIGHT_KEY = key_of(LEFT), key_of(RIGHT)


class Producers(SplitStream):
    """Producers with a table of their own beside the stream."""

    def __init__(self) -> None:
        super().__init__()
        self.own = self.cloud.regions[HOME].create_table("own", key_names=("id",))

    def fabric(self, faults: Faults | None = None) -> Fabric:
        requests = Requests(faults, tries=1)
        return self.producer(
            log_of=lambda stream, region: self.cloud.log(stream.name, region, requests=requests),
            outbox=self.cloud.outbox(HOME, requests=requests),
            append_timeout_seconds=5,
        )

    def published(self) -> dict[str, list[str]]:
        log = self.cloud.log(STREAM, HOME)
        return events_of_keys(records_below(log, LANE, LANES))


def fill(transaction: OutboxTransaction, *keys: str, writes: int = 1) -> None:
    for number in range(writes):
        transaction.put("own", {"id": f"row {number}"}, condition="attribute_not_exists(id)")
    for key in keys:
        transaction.publish(STREAM, key=key, type="placed", id=key, data={})


BOTH: Final = (LEFT_KEY, RIGHT_KEY)


def test_a_transaction_that_comes_to_a_seal_goes_into_the_children() -> None:
    stream = Producers()
    fabric = stream.fabric()
    stream.publish("0", key=LEFT_KEY)
    stream.split()
    with fabric.transaction() as transaction:
        fill(transaction, *BOTH)
    assert [receipt.lane for receipt in transaction.receipts] == [LEFT, RIGHT]
    assert stream.published() == {LEFT_KEY: ["0", LEFT_KEY], RIGHT_KEY: [RIGHT_KEY]}
    assert len(stream.own.items) == 1
    # By now the seal is known.
    with fabric.transaction() as transaction:
        transaction.publish(STREAM, key=LEFT_KEY, type="placed", id="2", data={})
    assert stream.published()[LEFT_KEY] == ["0", LEFT_KEY, "2"]


def test_one_that_is_in_the_way_of_a_split_is_planned_anew() -> None:
    stream = Producers()
    fabric = stream.fabric()
    with fabric.transaction() as transaction:
        fill(transaction, LEFT_KEY)
    transaction = fabric.transaction()
    fill(transaction, *BOTH, writes=0)
    stream.split()
    stream.split(LEFT)
    transaction.commit()
    assert [receipt.lane.generation for receipt in transaction.receipts] == [2, 1]
    assert stream.published() == {LEFT_KEY: [LEFT_KEY] * 2, RIGHT_KEY: [RIGHT_KEY]}


def test_its_actions_are_counted_again_and_too_many_are_refused_before_anything_is_sent() -> None:
    stream = Producers()
    fabric = stream.fabric()
    stream.split()
    transaction = fabric.transaction()
    fill(transaction, *BOTH, writes=TRANSACTION_ACTIONS_MAX - 1)
    with pytest.raises(TransactionTooLargeError):
        transaction.commit()
    assert stream.own.items == []
    assert stream.published() == {}
    transaction = fabric.transaction()
    fill(transaction, *BOTH, writes=TRANSACTION_ACTIONS_MAX - 2)
    assert len(transaction.commit()) == 2


@pytest.mark.parametrize("landed", [True, False])
def test_one_in_doubt_is_settled_across_a_seal(landed: bool) -> None:
    stream, faults = Producers(), Faults()
    fabric = stream.fabric(faults)
    transaction = fabric.transaction()
    fill(transaction, *BOTH)
    faults.rules.append(always(Fault.LOST_REPLY if landed else Fault.LOST_REQUEST, "transact"))
    with pytest.raises(IndeterminateTransactionError):
        transaction.commit()
    faults.heal()
    stream.split()
    transaction.commit()
    assert [receipt.lane for receipt in transaction.receipts] == ([LANE, LANE] if landed else [LEFT, RIGHT])
    assert stream.published() == {key: [key] for key in BOTH}
    assert len(stream.own.items) == 1


def test_an_event_is_published_once_wherever_its_lane_was_split() -> None:
    stream = Producers()
    fabric = stream.fabric()

    def publish(name: str) -> object:
        receipt = fabric.publish(STREAM, key=LEFT_KEY, type="placed", id=name, data={}, once=True)
        return receipt.lane, receipt.sequence

    assert publish("1") == (LANE, 0)
    stream.split()
    assert publish("1") == (LANE, 0)
    assert publish("2") == (LEFT, 2)
    assert publish("2") == (LEFT, 2)
    assert stream.published() == {LEFT_KEY: ["1", "2"]}
