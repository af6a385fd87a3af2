"""A stream whose tables have no transactions refuses them by name, wherever it is published to, as AWS would."""

from collections.abc import Callable

import pytest

from eventfabric import Delivery, Event, Fabric
from eventfabric.definition.file import parse_definition
from eventfabric.errors import NoTransactionsError, RefusedError
from eventfabric.local import LocalFabric
from eventfabric.model import Write
from tests.support.memory_fabric import HOME, event
from tests.support.publishing_stream import INVOICES, PublishingStream

QUORUM = 'durability = "quorum"'


def once(producer: Fabric) -> None:
    producer.publish(INVOICES, key="k", type="Billed", id="e", once=True)


def in_a_transaction(producer: Fabric) -> None:
    with producer.transaction() as transaction:
        transaction.publish(INVOICES, key="k", type="Billed")


@pytest.mark.parametrize(
    ("publish", "asked"), [(once, "once=True"), (in_a_transaction, "a transaction")], ids=["once", "together"]
)
def test_a_producer_is_told_before_anything_is_written(publish: Callable[[Fabric], None], asked: str) -> None:
    fabric = PublishingStream(invoices=QUORUM, durability="quorum")
    with pytest.raises(NoTransactionsError, match=f"invoices: found {asked}, .*quorum") as refused:
        publish(fabric.producer(outbox=fabric.cloud.outbox(HOME)))
    assert (refused.value.no_effect, refused.value.retryable) == (True, False)
    assert fabric.invoices() == fabric.events("orders") == []


@pytest.mark.parametrize(("guarantee", "is_dead"), [("at_least_once", True), ("at_most_once", False)])
def test_a_handler_that_publishes_once_is_told_if_that_would_be_a_transaction(
    guarantee: str, is_dead: bool
) -> None:
    def bill(event: Event, delivery: Delivery) -> None:
        delivery.publish(INVOICES, key=event.key, type="Billed", once=True)

    fabric = PublishingStream(bill, invoices=QUORUM, durability="quorum", guarantee=guarantee)
    fabric.put(event("a"))
    fabric.deliver()
    kinds = [(key.state, key.failure.error_type) for key in fabric.parked().values()]
    assert kinds == ([("dead", "eventfabric.errors:NoTransactionsError")] if is_dead else [])
    assert (len(fabric.invoices()), fabric.calls) == (0 if is_dead else 1, ["a"])


def put(table: str) -> Write:
    return Write("Put", {"TableName": table, "Item": {"pk": {"S": "a"}, "sk": {"N": "0"}}})


def test_in_memory_a_transaction_of_such_a_table_is_refused() -> None:
    fabric = PublishingStream(invoices=QUORUM, durability="quorum")
    with pytest.raises(RefusedError, match="no transactions"):
        fabric.cloud.outbox(HOME).append([], [put("shop-invoices")], token=b"t" * 16)


@pytest.mark.parametrize("names", [["shop-invoices"], ["shop-orders", "shop-invoices"]], ids=len)
def test_in_the_local_fabric_it_is_refused_wherever_the_table_stands(names: list[str]) -> None:
    text = f"""
        [fabric]
        name = "shop"
        regions = ["us-east-1", "us-east-2", "us-west-2"]
        [streams.orders]
        [streams.invoices]
        {QUORUM}
    """
    with LocalFabric(parse_definition(text)) as fabric, pytest.raises(RefusedError, match="no transactions"):
        fabric.ports("us-east-2").outbox.append([], [put(name) for name in names], token=b"t" * 16)
