"""The local fabric with handlers and writes that are not as they should be, and with somebody who reads its log."""

import json
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest

from eventfabric import Delivery, Event
from eventfabric.definition.file import parse_definition
from eventfabric.definition.schema import Definition
from eventfabric.errors import HandlerError
from eventfabric.telemetry import Metric
from eventfabric.testing.local.fabric import LocalFabric

US = "us-east-1"


def definition(handler: str = "subscribers.any:handle", guarantee: str = "at_least_once") -> Definition:
    """One Region, one stream and one subscription `all`."""
    return parse_definition(f"""
        [fabric]
        name = "shop"
        regions = ["{US}"]
        [streams.orders]
        lanes = 4
        [subscriptions.all]
        stream = "orders"
        handler = "{handler}"
        guarantee = "{guarantee}"
    """)


def ids(fabric: LocalFabric) -> list[str | None]:
    return [entry.event.id for entry in fabric.subscription("all").handled()]


def ignore(event: Event, delivery: Delivery) -> None:
    """Handle by doing nothing."""


async def asynchronous(event: Event, delivery: Delivery) -> None: ...


def unreadable(order: "NoSuchType", delivery: Delivery) -> None: ...  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize("handler", [asynchronous, unreadable, 5])
@pytest.mark.parametrize("move", [LocalFabric.step, LocalFabric.settle])
def test_a_handler_that_cannot_be_used_is_reported_before_anything_moves(
    handler: Any, move: Callable[[LocalFabric], object]
) -> None:
    with LocalFabric(definition(), handlers={"all": handler}) as fabric:
        fabric.region(US).publish("orders", key="a", type="Placed")
        for _ in range(2):
            with pytest.raises(HandlerError, match=r"allowed|annotations"):
                move(fabric)
        assert fabric.invocations == 0


@pytest.mark.parametrize("path", ["no_such_module:handle", "json:no_such_function", "json:__name__"])
def test_a_handler_that_is_not_there_is_reported_before_anything_moves(path: str) -> None:
    with LocalFabric(definition(handler=path)) as fabric, pytest.raises(HandlerError, match=path):
        fabric.settle()


def test_each_fabric_of_a_name_has_a_log_of_its_own() -> None:
    def fail(event: Event, delivery: Delivery) -> None:
        raise ValueError("no luck")

    logs = [StringIO(), StringIO()]
    for log in logs:
        with LocalFabric(definition(), handlers={"all": fail}, log=log) as fabric:
            fabric.region(US).publish("orders", key="a", type="Placed")
            fabric.settle()
    for log in logs:
        lines = [json.loads(line) for line in log.getvalue().splitlines()]
        assert any(line["error_type"] == "builtins:ValueError" for line in lines)


def test_a_receipt_is_there_while_the_publisher_is_open() -> None:
    with LocalFabric(definition(), handlers={"all": ignore}) as fabric:
        with fabric.region(US).publisher("orders") as publisher:
            receipt = publisher.publish(key="a", type="Placed", id="1").result(timeout_seconds=5)
            fabric.settle()
            assert ids(fabric) == [receipt.event_id]
            publisher.publish(key="a", type="Placed", id="2")
        fabric.settle()
        assert ids(fabric) == ["1", "2"]


def test_a_handler_that_exits_ends_its_event_only() -> None:
    def handle(event: Event, delivery: Delivery) -> None:
        if event.id == "1":
            raise SystemExit

    with LocalFabric(definition(), handlers={"all": handle}) as fabric:
        fabric.region(US).publish_many(
            "orders", [Event(id=str(n), key=f"k{n}", type="Placed") for n in range(5)]
        )
        fabric.settle(timers=True)
        assert sorted(str(event_id) for event_id in ids(fabric)) == ["0", "2", "3", "4"]


ODD: dict[str, Callable[[Delivery], None]] = {
    "bytearray": lambda d: d.transaction.put("rows", {"pk": "a", "v": bytearray(b"ab")}),
    "integer as a name": lambda d: d.transaction.put("rows", {"pk": "a", "v": {1: 2}}),
    "lone surrogate": lambda d: d.transaction.put("rows", {"pk": "a", "v": "\ud800"}),
    "empty set": lambda d: d.transaction.put("rows", {"pk": "a", "v": set()}),
    "no item": lambda d: d.transaction.put("rows", {}),
    "no key": lambda d: d.transaction.delete("rows", {}),
    "condition": lambda d: d.transaction.put("rows", {"pk": "a"}, condition=5),
    "names": lambda d: d.transaction.put("rows", {"pk": "a"}, condition="#a = #a", names={"#a": 5}),
    "table": lambda d: d.transaction.put("no_such_table", {"pk": "a"}),
    "table's name": lambda d: d.transaction.put(5, {"pk": "a"}),  # type: ignore[arg-type]  # no name
    "expression": lambda d: d.transaction.update("rows", {"pk": "a"}, "SOT a = :b", values={":b": 1}),
}


def test_an_odd_write_is_made_or_is_its_events_failure_alone() -> None:
    def handle(event: Event, delivery: Delivery) -> None:
        if event.key in ODD:
            ODD[event.key](delivery)
        else:
            delivery.transaction.put("rows", {"pk": event.key})

    with LocalFabric(definition(guarantee="exactly_once"), handlers={"all": handle}) as fabric:
        client = fabric.client("dynamodb", US)
        client.create_table(
            TableName="rows",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        )
        good = {f"beside {odd}" for odd in ODD}
        keys = [key for odd in ODD for key in (odd, f"beside {odd}")]
        fabric.region(US).publish_many("orders", [Event(key=key, type="Placed") for key in keys])
        fabric.settle()
        handled = {entry.event.key for entry in fabric.subscription("all").handled()}
        assert handled == good | {"bytearray"}
        rows = {row["pk"]["S"]: row for row in client.scan(TableName="rows")["Items"]}
        assert rows.keys() == good | {"a"}
        assert rows["a"]["v"] == {"B": b"ab"}
        assert fabric.telemetry.sums[Metric.KEYS_PARKED] == len(ODD) - 1


def test_an_event_whose_write_the_service_refuses_as_a_whole_was_never_handled() -> None:
    def handle(event: Event, delivery: Delivery) -> None:
        delivery.transaction.put("sums", {"pk": "" if event.id == "bad" else event.key})

    with LocalFabric(definition(guarantee="exactly_once"), handlers={"all": handle}) as fabric:
        fabric.client("dynamodb", US).create_table(
            TableName="sums",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        )
        for name in ("bad", "good"):
            fabric.region(US).publish("orders", key=name, type="Placed", id=name)
        fabric.settle(timers=True)
        assert ids(fabric) == ["good"]
        assert [dead.parked.key for dead in fabric.operations(US).dead_letters("all").find()] == ["bad"]


INTERRUPTIONS: dict[str, tuple[Callable[[], object], type[BaseException]]] = {
    "a failure": (lambda: pytest.fail("x"), pytest.fail.Exception),
    "an expected failure": (lambda: pytest.xfail("x"), pytest.fail.Exception),
    "a skip": (lambda: pytest.skip("x"), pytest.skip.Exception),
    "the end of the session": (lambda: pytest.exit("x"), KeyboardInterrupt),
    "somebody at the keyboard": (lambda: (_ for _ in ()).throw(KeyboardInterrupt), KeyboardInterrupt),
}


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
@pytest.mark.parametrize(("interrupt", "kind"), INTERRUPTIONS.values(), ids=INTERRUPTIONS.keys())
def test_an_outcome_of_the_test_ends_the_test_and_blames_no_event(
    interrupt: Callable[[], object], kind: type[BaseException], guarantee: str
) -> None:
    attempts: list[int] = []

    def handle(event: Event, delivery: Delivery) -> None:
        attempts.append(delivery.attempt)
        if len(attempts) == 1:
            interrupt()

    with LocalFabric(definition(guarantee=guarantee), handlers={"all": handle}) as fabric:
        fabric.region(US).publish("orders", key="a", type="Placed", id="1")
        with pytest.raises(kind):
            fabric.settle(timers=True)
        assert (ids(fabric), attempts) == ([], [1])
        fabric.settle(timers=True)  # its doorbell is in flight, and comes again with time
        assert (ids(fabric), attempts) == (["1"], [1, 1])
