"""Conduct of handlers in an attempt, and the outcome if one ends it in another way than by returning."""

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from threading import Event as Flag
from threading import Thread
from typing import Any

import pytest

from eventfabric import Delivery, Event
from eventfabric.aws.attributes import to_attributes
from eventfabric.errors import HandlerError, HandlerExitedError
from eventfabric.ports import Attempt
from eventfabric.sdk.delivery import Transaction
from eventfabric.sdk.subscriber import SubscriberHandler
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.testing.memory.clock import MemoryClock
from eventfabric.wire.item_size import item_bytes
from eventfabric.wire.published import Effect
from tests.support.failing_handlers import retry
from tests.support.memory_fabric import event
from tests.support.subscribed_stream import SubscribedStream

EVENT = Event(id="1", key="a", type="Placed", data={"number": 7}, source="/s")
ATTEMPT = Attempt("billing", 1, 10_000)


def handler_of(function: Callable[..., Any], *, transactional: bool = False) -> SubscriberHandler:
    return SubscriberHandler(function, clock=MemoryClock(4_000), transactional=transactional)


def call(function: Callable[..., Any], *, transactional: bool = False) -> Sequence[Effect]:
    return handler_of(function, transactional=transactional).attempt([EVENT], ATTEMPT)


def raising(error: BaseException) -> Callable[[Event, Delivery], None]:
    def handle(event: Event, delivery: Delivery) -> None:
        raise error

    return handle


def returning(make: Callable[[], object]) -> Callable[[Event, Delivery], object]:
    def handle(event: Event, delivery: Delivery) -> object:
        return make()

    return handle


class Outside(BaseException):
    """An error that is no Exception, as some test tools and thread libraries raise."""


@pytest.mark.parametrize("error", [SystemExit(3), GeneratorExit(), Outside("x")], ids=repr)
def test_an_exit_that_a_handler_asks_for_is_the_events_failure(error: BaseException) -> None:
    with pytest.raises(HandlerExitedError, match=type(error).__name__) as caught:
        call(raising(error))
    assert caught.value.__cause__ is error


def test_somebody_at_the_keyboard_is_heard() -> None:
    with pytest.raises(KeyboardInterrupt):
        call(raising(KeyboardInterrupt()))


def test_an_exit_in_a_handler_keeps_the_events_beside_it() -> None:
    def handle(event: Event, delivery: Delivery) -> None:
        if event.id == "b":
            raise SystemExit

    fabric = SubscribedStream(handler=handler_of(handle))
    for name in "abc":
        fabric.put(event(name, key=name))
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert list(fabric.parked()) == ["b"]
    assert fabric.cursor().sequence == 3


def numbers() -> Iterator[int]:
    yield 1


async def later() -> None: ...


async def others() -> Any:
    yield 1


@pytest.mark.parametrize("make", [numbers, others, lambda: {"batchItemFailures": []}])
def test_a_return_that_would_mean_not_handled_is_the_events_failure(make: Callable[[], object]) -> None:
    with pytest.raises(HandlerError, match="returned"):
        call(returning(make))


def test_a_returned_awaitable_did_not_run_and_is_the_events_failure() -> None:
    coroutine = later()
    with pytest.raises(HandlerError, match="returned coroutine"):
        call(returning(lambda: coroutine))
    coroutine.close()


def test_another_return_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    handler = handler_of(returning(lambda: {"statusCode": 200}))
    for _ in range(3):
        assert handler.attempt([EVENT], ATTEMPT) == ()
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("eventfabric", "WARNING")
    assert "returned dict" in record.getMessage()


def test_a_handler_that_returns_nothing_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    call(returning(lambda: None))
    assert caplog.records == []


def test_a_thread_that_a_handler_leaves_behind_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    stop = Flag()
    threads: list[Thread] = []

    def handle(event: Event, delivery: Delivery) -> None:
        threads.append(Thread(target=stop.wait, args=(30,), daemon=True))
        threads[0].start()

    call(handle)
    stop.set()
    threads[0].join(30)
    (record,) = caplog.records
    assert record.getMessage().endswith("left 1 threads running")


@pytest.mark.parametrize("fails", [False, True], ids=["returned", "raised"])
def test_what_a_handler_kept_of_a_delivery_cannot_write_later(fails: bool) -> None:
    deliveries: list[Delivery] = []
    transactions: list[Transaction] = []

    def handle(event: Event, delivery: Delivery) -> None:
        deliveries.append(delivery)
        transactions.append(delivery.transaction)
        delivery.transaction.put("t", {"pk": "a"})
        if fails:
            raise ValueError

    handler = handler_of(handle, transactional=True)
    if fails:
        with pytest.raises(ValueError):
            handler.attempt([EVENT], ATTEMPT)
    else:
        assert len(handler.attempt([EVENT], ATTEMPT)) == 1
    with pytest.raises(HandlerError, match="its delivery has ended"):
        deliveries[0].transaction.put("t", {"pk": "b"})
    with pytest.raises(HandlerError, match="its delivery has ended"):
        transactions[0].delete("t", {"pk": "b"})


class Text(str):
    """Text of a class of its own."""


REFUSED: list[object] = [
    set(),
    frozenset(),
    {1, "a"},
    {True},
    {None},
    {(1, 2)},
    float("nan"),
    float("inf"),
    Decimal("NaN"),
    1e300,
    1e-300,
    10**40,
    Decimal("1e126"),
    "\ud800",
    ["\ud800"],
    {"a": "\ud800"},
    {"\ud800": 1},
    {"\ud800"},
    {1: "a"},
    {None: 1},
    {"a": {1: 2}},
    object(),
    [object()],
    1j,
    range(3),
]


@pytest.mark.parametrize("value", REFUSED, ids=range(len(REFUSED)))
def test_a_value_that_dynamodb_does_not_take_is_refused_with_its_attributes_name(value: object) -> None:
    writes = Transaction()
    with pytest.raises(HandlerError, match=r"attribute 'price': found "):
        writes.put("t", {"pk": "a", "price": value})
    with pytest.raises(HandlerError, match=r"attribute 'price': found "):
        writes.update("t", {"pk": "a"}, "SET a = :v", values={"price": value})
    with pytest.raises(HandlerError, match=r"attribute 'price': found "):
        writes.delete("t", {"price": value})
    assert writes.writes == []


ACCEPTED: list[tuple[object, dict[str, object]]] = [
    (1.5, {"N": "1.5"}),
    (0.1, {"N": "0.1"}),
    (10**37, {"N": str(10**37)}),
    (1e100, {"N": "1E+100"}),
    (Decimal("1.10"), {"N": "1.10"}),
    ({1.5}, {"NS": ["1.5"]}),
    ({1, 2.5}, {"NS": ["1", "2.5"]}),
    (frozenset({"a"}), {"SS": ["a"]}),
    ({b"a"}, {"BS": [b"a"]}),
    (b"\x00\xff", {"B": b"\x00\xff"}),
    (bytearray(b"ab"), {"B": b"ab"}),
    ([bytearray(b"ab")], {"L": [{"B": b"ab"}]}),
    ((1, "a"), {"L": [{"N": "1"}, {"S": "a"}]}),
    ({"a": {"b": None}}, {"M": {"a": {"M": {"b": {"NULL": True}}}}}),
    ([], {"L": []}),
    ({}, {"M": {}}),
    ("", {"S": ""}),
    (True, {"BOOL": True}),
    (Text("a"), {"S": "a"}),
]


@pytest.mark.parametrize(("value", "expected"), ACCEPTED, ids=range(len(ACCEPTED)))
def test_a_value_that_dynamodb_takes_is_written(value: object, expected: dict[str, object]) -> None:
    attributes = to_attributes({"price": value})["price"]
    assert {kind: sorted(v) if kind in ("NS", "SS") else v for kind, v in attributes.items()} == expected
    assert item_bytes({"price": attributes}) >= len("price")


def test_an_attributes_name_is_text() -> None:
    names: list[Any] = [1, None, "\ud800"]
    for name in names:
        with pytest.raises(HandlerError, match="attribute"):
            Transaction().put("t", {name: 1})


ODD_VALUES: list[Any] = [
    {"S": "\ud800"},
    {"B": bytearray(b"ab")},
    {"B": memoryview(b"ab")},
    {"N": 5},
    {"S": None},
    {"NS": {1, 2}},
    {},
    None,
    "text",
    {"M": {1: {"S": "a"}}},
    {"M": None},
    {"L": None},
    {"L": [None]},
    {"S": "a", "N": "1"},
    {"BS": [bytearray(b"a")]},
]


# Numbers: what objects and sets print as differs between processes, and so would the names of the tests.
@pytest.mark.parametrize("value", ODD_VALUES, ids=range(len(ODD_VALUES)))
def test_the_size_of_an_odd_item_is_computed_and_left_to_others_to_refuse(value: Any) -> None:
    assert item_bytes({"odd": value}) >= 3


def mutating(change: Callable[[Event, Delivery], None]) -> tuple[Callable[..., None], list[str]]:
    """A handler that does so to the first event named e1, and then raises; and the ids of what it was given."""
    seen: list[str] = []

    def handle(event: Event, delivery: Delivery) -> None:
        seen.append(str(event.id))
        if event.id == "e1" and seen.count("e1") == 1:
            change(event, delivery)
            raise ValueError(event.id)

    return handle, seen


def move_sequence(event: Event, delivery: Delivery) -> None:
    event.sequence = event.sequence + 5  # type: ignore[assignment, operator]  # as a handler may


def change_key(event: Event, delivery: Delivery) -> None:
    event.key, event.lane, event.type = "other", None, "other"


def clear_events(incoming: Event, delivery: Delivery) -> None:
    events: Any = delivery.events
    if hasattr(events, "clear"):
        events.clear()


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
@pytest.mark.parametrize("change", [move_sequence, change_key, clear_events])
def test_a_handler_that_changes_its_event_loses_none(
    change: Callable[[Event, Delivery], None], guarantee: str
) -> None:
    handle, seen = mutating(change)
    fabric = SubscribedStream(
        handler=handler_of(handle, transactional=guarantee == "exactly_once"), guarantee=guarantee
    )
    names = [f"e{number}" for number in range(10)]
    fabric.put(*(event(name, key=name) for name in names))
    fabric.deliver()
    fabric.deliver_all()
    assert set(seen) == set(names)
    assert fabric.cursor().sequence == 10
    assert fabric.parked() == {}


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_a_batch_handler_that_empties_what_it_was_given_loses_none(guarantee: str) -> None:
    seen: list[str] = []

    def handle(events: list[Event], delivery: Delivery) -> None:
        seen.extend(str(event.id) for event in events)
        first = len(events) > 1
        for next_event in events:
            move_sequence(next_event, delivery)
        events.clear()
        clear_events(EVENT, delivery)
        if first:
            raise ValueError

    fabric = SubscribedStream(
        handler=handler_of(handle, transactional=guarantee == "exactly_once"), guarantee=guarantee
    )
    names = [f"e{number}" for number in range(10)]
    fabric.put(*(event(name, key=name) for name in names))
    fabric.deliver()
    fabric.deliver_all()
    assert sorted(seen) == sorted(names * 2)
    assert fabric.cursor().sequence == 10
    assert fabric.parked() == {}


class Speechless(Exception):
    """Fails when it is asked what it says."""

    def __str__(self) -> str:
        raise ValueError("no words")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (Speechless(), "str() failed"),
        (ValueError("\udcff in it"), r"\udcff in it"),
        (Outside("\udcff"), r"\udcff"),
    ],
    ids=["speechless", "surrogate", "exit"],
)
def test_what_an_error_says_is_stored_whatever_it_says(error: BaseException, message: str) -> None:
    fabric = SubscribedStream(handler=handler_of(raising(error)), **retry(attempts=1))
    fabric.put(event("1"))
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    (parked,) = fabric.parked().values()
    assert message in parked.failure.message
