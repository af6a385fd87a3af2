"""Whatever a handler raises, or does to its event, is a failure of that event, and reaches nothing else."""

from collections.abc import Callable
from typing import Any

import pytest

from eventfabric import Delivery, Event
from eventfabric.model import ParkedState
from eventfabric.sdk.subscriber import SubscriberHandler, subscriber
from eventfabric.services.delivery.lane_result import LaneOutcome
from tests.support.failing_handlers import retry
from tests.support.memory_fabric import event
from tests.support.subscribed_stream import SubscribedStream

LONE_SURROGATE = "\ud800"


class ExitsWhenAsked(Exception):
    def __str__(self) -> str:
        raise SystemExit("str")

    __repr__ = __str__


class CauseRaises(Exception):
    @property
    def __cause__(self) -> None:  # type: ignore[override]  # that is what is tried
        raise ValueError("cause")


class NotesExit(Exception):
    @property
    def __notes__(self) -> list[str]:  # type: ignore[override]  # that is what is tried
        raise SystemExit("notes")


class NothingCanBeRead(Exception):
    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(f"no {name}")


class ClassRaises(Exception):
    @property
    def __class__(self) -> Any:
        raise SystemExit("class")

    @__class__.setter
    def __class__(self, value: Any) -> None: ...


class NamelessKind(type):
    @property
    def __module__(cls) -> str:  # type: ignore[override]  # that is what is tried
        raise SystemExit("module")


class OfNamelessKind(Exception, metaclass=NamelessKind):
    pass


class OddlyNamed(Exception):
    pass


OddlyNamed.__qualname__ = LONE_SURROGATE


class TextThatIsNone(str):
    def encode(self, *args: Any, **kwargs: Any) -> bytes:
        raise SystemExit("encode")

    def __getitem__(self, part: Any) -> str:
        raise SystemExit("getitem")


class SaysOddText(Exception):
    def __str__(self) -> str:
        return TextThatIsNone("odd")


def parsers_error(text: object) -> SyntaxError:
    error = SyntaxError("m")
    error.filename, error.lineno = "f", 1
    error.text = text  # type: ignore[assignment]  # set by a parser of bytes
    return error


HOSTILE: dict[str, Callable[[], BaseException]] = {
    "exits when it is asked for its text": ExitsWhenAsked,
    "its cause raises": CauseRaises,
    "its notes exit": NotesExit,
    "nothing of it can be read": NothingCanBeRead,
    "its class raises": ClassRaises,
    "its kind has no name": OfNamelessKind,
    "a surrogate in its name": OddlyNamed,
    "its text is of a class of its own": SaysOddText,
    "a syntax error of bytes": lambda: parsers_error(b"x = ("),
    "a syntax error of a number": lambda: parsers_error(5),
    "surrogates in its text": lambda: OSError(LONE_SURROGATE, LONE_SURROGATE),
    "an exit": lambda: SystemExit(3),
    "a group of interrupts": lambda: BaseExceptionGroup("g", [KeyboardInterrupt()]),
}


def fabric_with(function: Callable[..., Any], *, immediate: int = 1, **settings: Any) -> SubscribedStream:
    """Events of a bad key and of a good one, in one lane, for a handler function."""
    fabric = SubscribedStream(lanes=1, **retry(immediate=immediate), **settings)
    fabric.handler = SubscriberHandler(function, clock=fabric.clock, transactional=False)
    fabric.put(event("b0", key="good"), event("a1", key="bad"), event("b1", key="good"))
    return fabric


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE.keys())
def test_whatever_a_handler_raises_is_an_ordinary_failure_of_its_event(
    make: Callable[[], BaseException],
) -> None:
    tried: list[str] = []

    @subscriber
    def handle(event: Event, delivery: Delivery) -> None:
        tried.append(event.id or "")
        if event.key == "bad":
            raise make()

    fabric = fabric_with(handle)
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert tried == ["b0", "a1", "a1", "b1"]
    (parked,) = fabric.parked().values()
    assert (parked.state, parked.failure.attempts, parked.failure.crashes) == (ParkedState.RETRYING, 2, 0)
    assert fabric.cursor().sequence == 3


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_where_nobody_has_a_keyboard_an_interrupt_is_a_failure_too(kind: type[BaseException]) -> None:
    def handle(event: Event, delivery: Delivery) -> None:
        if event.key == "bad":
            raise kind

    fabric = fabric_with(handle)
    fabric.handler = SubscriberHandler(handle, clock=fabric.clock, transactional=False, has_keyboard=False)
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert list(fabric.parked()) == ["bad"]


def test_a_payloads_type_or_a_returned_value_that_exits_is_a_failure() -> None:
    class Exiting:
        def __contains__(self, name: object) -> bool:
            raise SystemExit

        @property
        def __await__(self) -> Any:
            raise SystemExit

    fabric = fabric_with(lambda event, delivery: Exiting() if event.key == "bad" else None)
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert list(fabric.parked()) == ["bad"]


class TestWhatAHandlerDoesToItsEvent:
    """Each attempt has events of its own, and what is stored of a failure is what the log says."""

    def seen_by(
        self, change: Callable[[Event], None], **settings: Any
    ) -> tuple[SubscribedStream, list[object]]:
        seen: list[object] = []

        @subscriber
        def handle(event: Event, delivery: Delivery) -> None:
            seen.append((event.id, event.key, dict(event.headers)))
            if event.key == "bad":
                change(event)
                raise ValueError("x")

        return fabric_with(handle, **settings), seen

    @staticmethod
    def put_a_surrogate_in_its_trace(event: Event) -> None:
        event.headers["traceparent"] = LONE_SURROGATE  # type: ignore[index]  # not to be written to

    @staticmethod
    def make_it_another_event(event: Event) -> None:
        event.key, event.id, event.type = "good", "other", LONE_SURROGATE
        event.source = None

    @staticmethod
    def make_nonsense_of_it(event: Event) -> None:
        event.key = event.id = event.headers = None  # type: ignore[assignment]  # as a handler may

    @pytest.mark.parametrize("concurrency", [1, 2])
    @pytest.mark.parametrize(
        "change", [put_a_surrogate_in_its_trace, make_it_another_event, make_nonsense_of_it]
    )
    def test_no_later_attempt_sees_it(self, change: Callable[[Event], None], concurrency: int) -> None:
        fabric, seen = self.seen_by(change, concurrency=concurrency)
        assert fabric.deliver().outcome is LaneOutcome.DELIVERED
        none: dict[str, object] = {}
        a1, b0, b1 = ("a1", "bad", none), ("b0", "good", none), ("b1", "good", none)
        assert sorted(map(str, seen)) == sorted(map(str, [a1, a1, b0, b1]))
        fabric.clock.advance(4000)
        fabric.deliver()
        assert seen[-1] == a1
        (parked,) = fabric.parked().values()
        assert (parked.key, parked.failure.event_id, parked.failure.event_type) == ("bad", "a1", "placed")
        assert parked.failure.trace_id == ""

    def test_nor_do_those_of_a_batch_that_failed(self) -> None:
        seen: list[list[str | None]] = []

        @subscriber
        def handle(events: list[Event], delivery: Delivery) -> None:
            seen.append([event.id for event in events])
            for next_event in events:
                next_event.key, next_event.id = "same", "same"
            events.reverse()
            if len(events) > 1:
                raise ValueError("x")

        fabric = fabric_with(handle)
        assert fabric.deliver().outcome is LaneOutcome.DELIVERED
        assert seen == [["b0", "a1", "b1"], ["b0"], ["a1"], ["b1"]]
        assert fabric.cursor().sequence == 3

    def test_a_success_beside_it_stays_one(self) -> None:
        seen: list[str | None] = []

        @subscriber
        def handle(event: Event, delivery: Delivery) -> None:
            seen.append(event.id)
            if event.key == "bad":
                raise ValueError("x")
            event.key = "bad"  # its lane must not take it for one that waits behind the failure

        fabric = fabric_with(handle, immediate=0, concurrency=4)
        assert fabric.deliver().outcome is LaneOutcome.DELIVERED
        assert sorted(map(str, seen)) == ["a1", "b0", "b1"]
        (parked,) = fabric.parked().values()
        assert [place.sequence for place in parked.waiting] == [1]


def test_an_event_that_comes_late_keeps_what_came_before_it() -> None:
    late = Event(id="1", key="a", type="placed", headers={"n": 1})
    late.later = Event(id="2", key="a", type="placed", headers={"n": 2})
    copied = late.copy()
    assert copied == late
    assert copied.later == late.later
    copied.headers["n"] = 3  # type: ignore[index]  # not to be written to
    assert copied.later is not None
    copied.later.id = "3"
    assert (late.headers, late.later.id) == ({"n": 1}, "2")


def test_a_lane_goes_on_beside_a_failure_that_has_no_utf_8() -> None:
    """Fourteen visits over hours: the innocent key is attempted once, and nothing of it ends as a crash."""
    tried: list[str | None] = []

    @subscriber
    def handle(event: Event, delivery: Delivery) -> None:
        tried.append(event.id)
        if event.key == "bad":
            raise parsers_error(b"x = (")

    fabric = fabric_with(handle)
    for visit in range(14):
        fabric.deliverer().deliver(fabric.bell(), deadline_ms=10**15, receive_count=visit + 1)
        fabric.clock.advance(720)
    (parked,) = fabric.parked().values()
    assert (tried.count("b0"), tried.count("b1")) == (1, 1)
    assert (parked.failure.error_type, parked.failure.crashes) == ("builtins:SyntaxError", 0)
