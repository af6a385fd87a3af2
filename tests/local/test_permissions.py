"""Permissions of functions and people: enough for their work, and no more; checked on the local fabric by call."""

from collections.abc import Iterator
from typing import Any

import pytest

from eventfabric import Delivery, Event
from eventfabric.aws.clients import Clients
from eventfabric.aws.dead_queues import DeadQueues
from eventfabric.definition.file import parse_definition
from eventfabric.definition.schema import Definition
from eventfabric.deployment.people import operator, publisher
from eventfabric.deployment.permissions import Statement, of_function
from eventfabric.errors import RefusedError
from eventfabric.model import LaneKey, Region, StreamName, SubscriptionName
from eventfabric.testing.local.fabric import LocalFabric
from eventfabric.testing.local.guard import acting
from eventfabric.wire.keys import is_record

US, EU = Region("us-east-1"), Region("eu-west-1")
ORDERS = StreamName("orders")


def definition() -> Definition:
    return parse_definition(
        f"""
        [fabric]
        name = "shop"
        regions = ["{US}", "{EU}"]
        [streams.orders]
        lanes = 2
        retention_days = 30
        [streams.other]
        lanes = 2
        [subscriptions.all]
        stream = "orders"
        handler = "subscribers.billing:charge"
        guarantee = "exactly_once"
        retry = {{ immediate = 0, attempts = 2, permanent = ["builtins:ValueError"] }}
        [subscriptions.others]
        stream = "other"
        handler = "subscribers.billing:charge"
        """
    )


def handle(event: Event, delivery: Delivery) -> None:
    if event.type == "Poison":
        raise ValueError("poison")
    with delivery.once("step") as step:
        if not step.done:
            step.result = 1
    if event.type == "Once":
        delivery.transaction.put("theirs", {"id": event.id})


def nothing(event: Event, delivery: Delivery) -> None:
    """Handle by doing nothing."""


@pytest.fixture
def fabric() -> Iterator[LocalFabric]:
    with LocalFabric(definition(), handlers={"all": handle, "others": nothing}) as fabric:
        fabric.client("dynamodb", US).create_table(
            TableName="theirs",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield fabric


def clients(fabric: LocalFabric, region: str) -> Clients:
    """Clients that the guard watches."""
    made = Clients(region)
    fabric.guard.watch(made.dynamodb)
    fabric.guard.watch(made.sqs)
    return made


def is_denied(fabric: LocalFabric, statements: list[Statement], call: Any, **request: Any) -> bool:
    """Tell if a call is refused to a caller with only these permissions."""
    with acting(statements):
        try:
            call(**request)
        except Exception as error:  # whatever else may be wrong with it
            if "AccessDenied" in str(error):
                fabric.guard.denied.clear()
                return True
    return False


def test_a_producer_publishes_once_and_in_transactions_with_its_policy(
    fabric: LocalFabric,
) -> None:
    topology = fabric.topology
    with acting(publisher(topology, topology.stream(ORDERS))):
        us = fabric.region(US)
        us.publish("orders", key="a", type="Placed")
        us.publish("orders", key="a", type="Placed", id="one", once=True)
        us.publish("orders", key="a", type="Placed", id="one", once=True)
        with us.transaction() as transaction:
            transaction.put("theirs", {"id": "1"})
            transaction.publish("orders", key="b", type="Placed")
        with us.publisher("orders") as sender:
            sender.publish(key="c", type="Placed")
    fabric.settle()
    assert len(fabric.subscription("all").handled()) == 4


def test_a_producer_reads_no_ledger_reaches_no_other_stream_and_notes_no_other_regions_ids(
    fabric: LocalFabric,
) -> None:
    topology = fabric.topology
    allowed = publisher(topology, topology.stream(ORDERS))
    client = clients(fabric, US).dynamodb
    query = {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": {":pk": {"S": f"{US}/0.1"}}}
    item = {"pk": {"S": f"once/{EU}/1"}, "sk": {"N": "0"}}
    assert is_denied(fabric, allowed, client.query, TableName="shop-ledger", **query)
    assert is_denied(fabric, allowed, client.query, TableName="shop-other", **query)
    assert is_denied(fabric, allowed, client.put_item, TableName="shop-orders", Item=item)
    assert is_denied(fabric, allowed, client.delete_item, TableName="shop-orders", Key=item)
    assert is_denied(fabric, allowed, client.scan, TableName="shop-orders")
    assert not is_denied(fabric, allowed, client.query, TableName="shop-orders", **query)


def test_a_producer_reads_what_subscriptions_grant_in_the_region_and_grants_nothing(
    fabric: LocalFabric,
) -> None:
    topology, client = fabric.topology, clients(fabric, US).dynamodb
    allowed = publisher(topology, topology.stream(ORDERS))

    def reads(key: str) -> bool:
        values = {":pk": {"S": key}}
        query = {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": values}
        return not is_denied(fabric, allowed, client.query, TableName="shop-ledger", **query)

    assert reads(f"orders/all/credits/{US}/0")
    assert reads(f"orders/all#2/credits/{US}/3")
    assert not reads(f"orders/all/credits/{EU}/0")
    assert not reads(f"other/others/credits/{US}/0")
    assert not reads("orders/all")
    assert not reads(f"orders/all/{US}/0.0")
    key = {"pk": {"S": f"orders/all/credits/{US}/0"}, "sk": {"S": f"{US}/0"}}
    change = {"UpdateExpression": "SET #n = :n", "ExpressionAttributeNames": {"#n": "0"}}
    values = {":n": {"N": "9"}}
    assert is_denied(
        fabric,
        allowed,
        client.update_item,
        TableName="shop-ledger",
        Key=key,
        ExpressionAttributeValues=values,
        **change,
    )


def test_a_producer_reads_what_is_declared_and_only_operators_declare(fabric: LocalFabric) -> None:
    topology, client = fabric.topology, clients(fabric, US).dynamodb
    stream = topology.stream(ORDERS)
    values = {":pk": {"S": f"@{US}/orders"}}
    query = {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": values}
    item = {"pk": {"S": f"@{US}/orders"}, "sk": {"N": "99"}}
    for allowed, may_declare in ((publisher(topology, stream), False), (operator(topology, stream), True)):
        assert not is_denied(fabric, allowed, client.query, TableName="shop-orders", **query)
        assert (
            is_denied(fabric, allowed, client.put_item, TableName="shop-orders", Item=item) is not may_declare
        )
        assert is_denied(fabric, allowed, client.delete_item, TableName="shop-orders", Key=item)


def test_the_function_of_a_subscription_reaches_nothing_of_another(fabric: LocalFabric) -> None:
    topology = fabric.topology
    allowed = of_function(topology, topology.deliver_function("all", US))
    region_clients = clients(fabric, US)
    query = {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": {":pk": {"S": f"{US}/0.1"}}}
    theirs = {"pk": {"S": "other/others/us-east-1/0.1"}, "sk": {"S": "us-east-1/cursor"}}
    assert is_denied(fabric, allowed, region_clients.dynamodb.query, TableName="shop-other", **query)
    assert is_denied(fabric, allowed, region_clients.dynamodb.put_item, TableName="shop-ledger", Item=theirs)
    assert is_denied(fabric, allowed, region_clients.dynamodb.put_item, TableName="shop-orders", Item=theirs)
    assert is_denied(fabric, allowed, region_clients.sqs.get_queue_url, QueueName="shop-others.fifo")
    assert is_denied(fabric, allowed, clients(fabric, EU).dynamodb.query, TableName="shop-orders", **query)
    assert not is_denied(fabric, allowed, region_clients.sqs.get_queue_url, QueueName="shop-all.fifo")


def test_functions_deliver_retry_park_and_keep_steps_with_their_roles(fabric: LocalFabric) -> None:
    us = fabric.region(US)
    us.publish("orders", key="a", type="Placed")
    us.publish("orders", key="p", type="Poison")
    us.publish("orders", key="p", type="Placed")
    us.publish("orders", key="b", type="Once")
    us.publish("other", key="a", type="Placed")
    fabric.settle(timers=True)
    assert len(fabric.subscription("all").handled()) == 2
    assert len(fabric.subscription("all").dead_letters()) == 1
    assert not fabric.guard.denied


def test_reconciliation_repairs_with_the_role_of_its_function(fabric: LocalFabric) -> None:
    for number in range(6):
        fabric.region(US).publish("orders", key=f"k{number}", type="Placed")
    fabric.settle()
    client = fabric.client("dynamodb", EU)
    lost = next(item for item in client.scan(TableName="shop-orders")["Items"] if is_record(item))
    client.delete_item(TableName="shop-orders", Key={"pk": lost["pk"], "sk": lost["sk"]})
    answers = []
    for _ in range(3):
        answers.append(fabric.invoke(fabric.topology.reconcile_function(EU), {"full": True}))
        fabric.clock.advance(seconds=1_000)
    assert any(answer["findings"] for answer in answers)
    assert client.get_item(TableName="shop-orders", Key={"pk": lost["pk"], "sk": lost["sk"]})["Item"] == lost
    # Late in the retention the newest record of a quiet lane is kept on; where it was published.
    fabric.clock.advance(seconds=29 * 86_400)
    fabric.invoke(fabric.topology.reconcile_function(US), {})
    assert not fabric.guard.denied


def test_a_backfill_is_planned_and_copied_with_the_role_of_its_function(fabric: LocalFabric) -> None:
    for number in range(6):
        fabric.region(US).publish("orders", key=f"k{number}", type="Placed")
    function = fabric.topology.backfill_function(EU)
    asked = {"stream": "orders", "source": US}
    begun = fabric.invoke(function, {"action": "begin", "name": "run-1", "asked": asked})
    more: str | None = "plan"
    while more is not None:
        planned = fabric.invoke(function, {"action": "plan", "backfill": begun["backfill"], "more": more})
        more = planned["more"]
        for slice_row in planned["slices"]:
            fabric.invoke(function, {"action": "copy", "backfill": begun["backfill"], **slice_row})
    report = fabric.invoke(function, {"action": "finish", "backfill": begun["backfill"]})
    assert (report["state"], report["copied_events"]) == ("done", 6)


def test_an_operator_does_what_the_runbook_says_with_the_policy(fabric: LocalFabric) -> None:
    fabric.region(US).publish("orders", key="p", type="Poison")
    fabric.region(US).publish("orders", key="a", type="Placed")
    fabric.settle()
    topology = fabric.topology
    with acting(operator(topology, topology.stream(ORDERS))):
        operations = fabric.operations(US)
        letters = operations.dead_letters("all")
        (letter,) = letters.find()
        letters.discard(letter)
        assert operations.pause("all", "provider migrates")
        assert operations.resume("all")
        assert list(operations.reconcile("orders", repair=True)) == []
        operations.prove("all")
        ports = fabric.ports(US)
        DeadQueues(clients(fabric, US).sqs, ports.doorbells, ports.clock).redrive(
            [topology.subscription("all")]
        )
        with pytest.raises(RefusedError, match="AccessDenied"):
            key = LaneKey(StreamName("other"), SubscriptionName("others"), letter.lane)
            fabric.ports(US).ledger.state(key)
    fabric.guard.denied.clear()


def test_whoever_may_operate_every_stream_hands_a_region_over(fabric: LocalFabric) -> None:
    topology = fabric.topology
    with acting(
        [statement for stream in topology.streams.values() for statement in operator(topology, stream)]
    ):
        written = fabric.operations(EU).failover(US).hand_over("lost")
    assert {(owner.origin, owner.region) for owner in written} == {(US, EU)}
