"""Functions that can be handlers, and the arguments for each kind of first parameter."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Optional, TypedDict

import pytest
from pydantic import BaseModel, Field
from pydantic.dataclasses import dataclass as pydantic_dataclass

from eventfabric import Delivery, Event, subscriber
from eventfabric.errors import HandlerError, UndecodablePayloadError
from eventfabric.ports import Attempt
from eventfabric.sdk.subscriber import SubscriberHandler, load_handler
from eventfabric.testing.memory.clock import MemoryClock


@dataclass
class Order:
    number: int


@dataclass
class Refund:
    reason: str


class OrderModel(BaseModel):
    number: int


class RefundModel(BaseModel):
    reason: str


@pydantic_dataclass
class Strict:
    number: Annotated[int, Field(gt=5)]


class OrderDict(TypedDict):
    number: int


class Coordinates(NamedTuple):
    x: float
    y: float


@dataclass
class Nested:
    order: OrderModel


class Special(Event):
    """An event of somebody's own."""


SEVEN = Event(id="1", key="a", type="Placed", data={"number": 7}, source="/s")
NOTHING = Event(id="2", key="a", type="Placed", source="/s")
BINARY = Event(id="3", key="a", type="Placed", data=b"\x00\xff", source="/s")
ATTEMPT = Attempt("billing", 1, 10_000)


def of(data: object) -> Event:
    return Event(id="1", key="a", type="Placed", data=data, source="/s")


def given(function: Callable[..., Any], *events: Event) -> None:
    """Attempt these events by that handler."""
    SubscriberHandler(function, clock=MemoryClock(4_000), transactional=False).attempt(events, ATTEMPT)


def taking(hint: Any) -> tuple[Callable[..., None], list[Any]]:
    """A handler whose first parameter is annotated so, and what it is called with."""
    seen: list[Any] = []

    def handle(first: Any, delivery: Delivery) -> None:
        seen.append(first)

    handle.__annotations__["first"] = hint
    return handle, seen


async def asynchronous(event: Event, delivery: Delivery) -> None: ...


async def asynchronous_generator(event: Event, delivery: Delivery) -> AsyncIterator[int]:
    yield 1


def generator(event: Event, delivery: Delivery) -> Iterator[int]:
    yield 1


class Asynchronous:
    """An object whose call would be a coroutine."""

    async def __call__(self, event: Event, delivery: Delivery) -> None: ...

    async def method(self, event: Event, delivery: Delivery) -> None: ...


def three(event: Event, delivery: Delivery, more: object) -> None: ...


def keyword_too(event: Event, delivery: Delivery, *, more: object) -> None: ...


def only_event(event: Event) -> None: ...


def unreadable(order: "NoSuchType", delivery: Delivery) -> None: ...  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    "function",
    [
        asynchronous,
        asynchronous_generator,
        generator,
        Asynchronous(),
        Asynchronous().method,
        partial(asynchronous),
        partial(generator),
        three,
        keyword_too,
        only_event,
        unreadable,
        partial(unreadable),
        taking(Special)[0],
        taking(list[Special])[0],
        taking(tuple[Event, Event])[0],
        taking(set[Event])[0],
        taking(Event | None)[0],
        taking(Iterator[Event])[0],
        taking(Order | Event)[0],
        dict,
        Order,
    ],
)
def test_what_could_not_handle_an_event_is_refused_before_there_is_one(function: Callable[..., Any]) -> None:
    with pytest.raises(HandlerError):
        SubscriberHandler(function, clock=MemoryClock(), transactional=False)


@pytest.mark.parametrize("function", [asynchronous, generator, three, unreadable])
def test_the_decorator_refuses_what_could_not_handle_an_event(function: Callable[..., Any]) -> None:
    with pytest.raises(HandlerError, match=function.__name__):
        subscriber(function)


@pytest.mark.parametrize("batch", [-1, 0, 1_001, "3", 1.0, True])
def test_a_batch_has_bounds(batch: Any) -> None:
    with pytest.raises(HandlerError, match="allowed: 1 to 1000"):

        @subscriber(batch=batch)
        def handle(events: list[Event], delivery: Delivery) -> None: ...


def test_a_list_of_one_is_a_list() -> None:
    seen: list[object] = []

    @subscriber(batch=1)
    def handle(events: list[Event], delivery: Delivery) -> None:
        seen.append(events)

    given(handle, SEVEN)
    assert seen == [[SEVEN]]
    assert SubscriberHandler(handle, clock=MemoryClock(), transactional=False).batch_events_max == 1


@pytest.mark.parametrize(
    ("hint", "data", "expected"),
    [
        (Optional[Order], {"number": 7}, Order(7)),  # noqa: UP045
        (Optional[Order], None, None),  # noqa: UP045
        (Order | None, {"number": 7}, Order(7)),
        (Order | None, None, None),
        (OrderModel | None, {"number": 7}, OrderModel(number=7)),
        (OrderModel | None, None, None),
        (OrderModel | RefundModel, {"reason": "late"}, RefundModel(reason="late")),
        (Order | Refund, {"reason": "late"}, Refund("late")),
        (Strict, {"number": 7}, Strict(number=7)),
        (Strict | None, None, None),
        (OrderDict, {"number": 7}, {"number": 7}),
        (dict[str, int], {"number": 7}, {"number": 7}),
        (dict[str, OrderModel], {"a": {"number": 7}}, {"a": OrderModel(number=7)}),
        (Annotated[Order, "note"], {"number": 7}, Order(7)),
        (bytes, b"\x00\xff", b"\x00\xff"),
        (bytes | None, b"\x00\xff", b"\x00\xff"),
        (bytes | None, None, None),
        (Coordinates, [1.5, 2.5], Coordinates(1.5, 2.5)),
        (tuple[float, float], [1.5, 2.5], (1.5, 2.5)),
        (set[str], ["a"], {"a"}),
        (Nested, {"order": {"number": 7}}, Nested(OrderModel(number=7))),
        (str, "text", "text"),
        (int, 7, 7),
        (None, None, None),
    ],
    ids=str,
)
def test_a_payload_is_decoded_to_the_type_that_is_asked_for(
    hint: Any, data: object, expected: object
) -> None:
    handle, seen = taking(hint)
    given(handle, of(data))
    assert seen == [expected]
    assert type(seen[0]) is type(expected)


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (list[Order], [Order(7), Order(8)]),
        (Sequence[Order], [Order(7), Order(8)]),
        (tuple[Order, ...], (Order(7), Order(8))),
        (list[OrderModel], [OrderModel(number=7), OrderModel(number=8)]),
        (list[OrderModel | None], [OrderModel(number=7), OrderModel(number=8)]),
        (tuple[Event, ...], (SEVEN, of({"number": 8}))),
        (Iterable[Order], [Order(7), Order(8)]),
        (list, [SEVEN, of({"number": 8})]),
        (tuple, (SEVEN, of({"number": 8}))),
        (list[Any], [SEVEN, of({"number": 8})]),
        (Annotated[list[Order], "note"], [Order(7), Order(8)]),
    ],
    ids=str,
)
def test_many_payloads_come_in_what_is_asked_for(hint: Any, expected: object) -> None:
    handle, seen = taking(hint)
    given(handle, SEVEN, of({"number": 8}))
    assert seen == [expected]


@pytest.mark.parametrize(
    ("hint", "event"),
    [
        (Order, NOTHING),
        (OrderModel, NOTHING),
        (Strict, NOTHING),
        (list[Order], NOTHING),
        (bytes, NOTHING),
        (Order, BINARY),
        (OrderModel, BINARY),
        (Order | None, BINARY),
        (str, BINARY),
        (bytes, SEVEN),
        (Order, of({"number": "x"})),
        (Strict, of({"number": 1})),
        (OrderModel | None, of({"number": "x"})),
    ],
)
def test_a_payload_of_another_type_is_refused_as_such(hint: Any, event: Event) -> None:
    handle, seen = taking(hint)
    with pytest.raises(UndecodablePayloadError, match=f"event {event.id}: "):
        given(handle, event)
    assert seen == []


def test_objects_methods_and_partials_are_asked_what_they_take() -> None:
    class Charges:
        def __init__(self) -> None:
            self.seen: list[object] = []

        def __call__(self, order: Order, delivery: Delivery) -> None:
            self.seen.append(order)

        def method(self, orders: list[OrderModel], delivery: Delivery) -> None:
            self.seen.append(orders)

    charges, seen = Charges(), list[object]()

    def charge(rate: int, order: Order, delivery: Delivery, *, log: list[object]) -> None:
        log.append((rate, order))

    def star(*given: Any) -> None:
        seen.append(given[0])

    given(charges, SEVEN)
    given(charges.method, SEVEN)
    given(partial(charges), SEVEN)
    given(partial(charge, 3, log=seen), SEVEN)
    given(star, SEVEN)
    assert charges.seen == [Order(7), [OrderModel(number=7)], Order(7)]
    assert seen == [(3, Order(7)), SEVEN]


@pytest.mark.parametrize("value", [5, "text", None, object()], ids=lambda value: type(value).__name__)
def test_what_is_no_function_is_no_handler(value: Any) -> None:
    with pytest.raises(HandlerError, match="allowed: a function"):
        subscriber()(value)


@pytest.mark.parametrize(
    "text",
    ["1 / 0", "def handle(:", "raise SystemError('x')", "import sys; sys.exit('x')", "import no_such_module"],
)
def test_a_module_that_cannot_be_imported_is_named(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"broken_{tmp_path.parent.name}_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(HandlerError, match=f"handler '{name}:handle': .*, allowed: ") as caught:
        load_handler(f"{name}:handle")
    assert caught.value.__cause__ is not None
