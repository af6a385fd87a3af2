"""Requests that a handler makes by its first parameter, and those that are refused."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel

from eventfabric import Delivery, Event, subscriber
from eventfabric.errors import HandlerError, UndecodablePayloadError
from eventfabric.model import Lane
from eventfabric.ports import Attempt
from eventfabric.sdk.subscriber import SubscriberHandler, load_handler
from eventfabric.testing.memory.clock import MemoryClock


@dataclass
class Order:
    """A payload as a dataclass."""

    number: int


class OrderModel(BaseModel):
    """An order as a pydantic model."""

    number: int


class OrderStruct(msgspec.Struct):
    """An order as a msgspec Struct."""

    number: int


EVENT = Event(id="1", key="a", type="Placed", data={"number": 7}, source="/s")
ATTEMPT = Attempt("billing", 1, 10_000)


def call(function: Callable[..., Any], events: list[Event], *, transactional: bool = False) -> Any:
    handler = SubscriberHandler(function, clock=MemoryClock(4_000), transactional=transactional)
    return handler.attempt(events, ATTEMPT)


def test_a_handler_gets_what_its_first_parameter_asks_for() -> None:
    seen: list[object] = []

    def plain(event, delivery):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        seen.append(event)

    def typed(event: Event, delivery: Delivery) -> None:
        seen.append(event)

    def order(order: Order, delivery: Delivery) -> None:
        seen.append(order)

    def model(order: OrderModel, delivery: Delivery) -> None:
        seen.append(order)

    def struct(order: OrderStruct, delivery: Delivery) -> None:
        seen.append(order)

    def many(events: list[Event], delivery: Delivery) -> None:
        seen.append(events)

    def orders(orders: list[Order], delivery: Delivery) -> None:
        seen.append(orders)

    for function in (plain, typed, order, model, struct, many, orders):
        call(function, [EVENT])
    expected = [EVENT, EVENT, Order(7), OrderModel(number=7), OrderStruct(7), [EVENT], [Order(7)]]
    assert seen == expected


def test_a_payload_of_another_shape_is_the_events_failure() -> None:
    def order(order: Order, delivery: Delivery) -> None:
        raise AssertionError("must not be called")

    with pytest.raises(UndecodablePayloadError, match="number"):
        call(order, [Event(id="1", key="a", type="Placed", data={"number": "seven"}, source="/s")])


def test_a_delivery_tells_subscription_attempt_time_and_event() -> None:
    calls: list[object] = []

    def handle(event: Event, delivery: Delivery) -> None:
        calls.extend((delivery.subscription, delivery.attempt, delivery.remaining_seconds, delivery.event))

    call(handle, [EVENT])
    assert calls == ["billing", 1, 6.0, EVENT]


def test_the_decorated_function_is_still_callable_as_it_was_written() -> None:
    @subscriber
    def double(number: int, delivery: object) -> int:
        return 2 * number

    assert double(4, None) == 8
    assert vars(double)["__name__"] == "double"


def test_batches_are_for_lists_only() -> None:
    with pytest.raises(HandlerError, match="first parameter is a list"):

        @subscriber(batch=10)
        def handle(event: Event, delivery: Delivery) -> None: ...

    @subscriber(batch=10)
    def many(events: list[Event], delivery: Delivery) -> None: ...

    assert many.batch == 10
    assert subscriber(many.function).batch > 10


def test_a_function_of_another_shape_is_refused() -> None:
    def lonely(event: Event) -> None: ...

    with pytest.raises(HandlerError, match=r"allowed: \(event, delivery\)"):
        subscriber(lonely)


def test_handlers_are_loaded_by_name_or_refused_with_the_reason() -> None:
    assert load_handler("json:dumps") is __import__("json").dumps
    for path in ("no_such_module:handle", "json:nothing", "json", "json:__name__"):
        with pytest.raises(HandlerError, match="allowed"):
            load_handler(path)


def test_a_transactions_writes_are_dynamodb_requests() -> None:
    def handle(event: Event, delivery: Delivery) -> None:
        writes = delivery.transaction
        writes.put("t", {"pk": "a", "price": 1.5}, condition="attribute_not_exists(pk)")
        writes.update("t", {"pk": "b"}, "ADD #n :one", names={"#n": "n"}, values={":one": Decimal(1)})
        writes.delete("t", {"pk": "c"})
        writes.check("t", {"pk": "d"}, condition="attribute_exists(pk)")
        with pytest.raises(HandlerError, match="found conditon"):
            writes.delete("t", {"pk": "e"}, conditon="typo")

    put, update, delete, check = call(handle, [EVENT], transactional=True)
    assert (put.action, put.request["Item"]["price"]) == ("Put", {"N": "1.5"})
    assert update.request["ExpressionAttributeValues"] == {":one": {"N": "1"}}
    assert delete.request == {"TableName": "t", "Key": {"pk": {"S": "c"}}}
    assert (check.action, check.request["ConditionExpression"]) == ("ConditionCheck", "attribute_exists(pk)")


def test_without_the_guarantee_there_is_no_transaction() -> None:
    def handle(event: Event, delivery: Delivery) -> None:
        delivery.transaction.delete("t", {"pk": "a"})

    with pytest.raises(HandlerError, match="exactly_once"):
        call(handle, [EVENT])


def test_lanes_read_back_as_they_are_written() -> None:
    assert str(Lane.parse("us-east-1/0.17")) == "us-east-1/0.17"
    for text in ("", "us-east-1", "us-east-1/0", "us-east-1/0.x", "/0.1"):
        with pytest.raises(ValueError, match="allowed: <origin>"):
            Lane.parse(text)


def test_a_payload_that_only_pydantic_decodes_asks_for_it_by_name_where_it_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pydantic", None)

    def handle(order: OrderModel, delivery: Delivery) -> None: ...

    allowed = r"only pydantic decodes it.*allowed: pydantic in a requirements\.txt"
    with pytest.raises(HandlerError, match=allowed):
        SubscriberHandler(handle, clock=MemoryClock(4_000), transactional=False)
