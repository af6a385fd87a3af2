"""The bottleneck of a subscription, in planted situations, and the lever that comes next."""

from collections import UserString
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from typer.main import get_command

from eventfabric.cli.main import app
from eventfabric.model import Circuit, CircuitState, Event, Lane, StreamName, SubscriptionName
from eventfabric.model.function_figures import FunctionFigures
from eventfabric.services.operations.scaling import Bottleneck, Diagnosis, Figures, diagnose
from eventfabric.services.operations.scaling_looks import ScaleLooks
from tests.support.failing_handlers import Failing, fabric_of
from tests.support.memory_fabric import LANE, event, lane
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream

ACCOUNT = 1_000
OLD_SECONDS = 120
TIME = "2026-11-01T00:00:00Z"


@dataclass
class Situation:
    """A stream, what happens between the two looks, and what CloudWatch says."""

    lanes: int = 2
    settings: dict[str, Any] = field(default_factory=dict)
    failing: Failing = field(default_factory=lambda: Failing({}))
    before: Callable[[SubscribedStream], None] = lambda fabric: None
    between: Callable[[SubscribedStream], None] = lambda fabric: None
    watched: FunctionFigures = field(default_factory=FunctionFigures)

    def explained(self) -> tuple[Figures, Diagnosis]:
        fabric = fabric_of(self.failing, lanes=self.lanes, **self.settings)
        self.before(fabric)

        def wait(seconds: float) -> None:
            fabric.clock.advance(seconds)
            self.between(fabric)

        looks = ScaleLooks(fabric.subscription, fabric.stream, ports=fabric.ports(), account=ACCOUNT)
        figures = looks.figures(wait_seconds=1.0, watched=self.watched, wait=wait)
        return figures, diagnose(figures)


def waiting(*lanes: Lane, key: str = "", count: int = 40) -> Callable[[SubscribedStream], None]:
    """Have events wait in these lanes for long, of one key or of as many."""

    def put(fabric: SubscribedStream) -> None:
        for of in lanes:
            for number in range(count):
                fabric.put(event(f"{of} {number}", key=key or f"{of}-{number}"), of=of)
        fabric.clock.advance(OLD_SECONDS)

    return put


def some_of(*lanes: Lane, seconds: int = 4) -> Callable[[SubscribedStream], None]:
    """Deliver a few events of these lanes."""

    def deliver(fabric: SubscribedStream) -> None:
        before = fabric.recorder.before

        def slowly(events: Sequence[Event]) -> None:
            fabric.clock.advance(1)
            before(events)

        fabric.recorder.before = slowly
        for of in lanes:
            fabric.deliver(of, time_ms=1_000 * seconds)

    return deliver


def switched(state: CircuitState) -> Callable[[SubscribedStream], None]:
    def switch(fabric: SubscribedStream) -> None:
        waiting(LANE)(fabric)
        stream, name = StreamName(fabric.stream.name), SubscriptionName(SUBSCRIPTION)
        assert fabric.ledger.switch(stream, name, Circuit(), Circuit(state, "so it is")) is not None

    return switch


def delivered(fabric: SubscribedStream) -> None:
    waiting(LANE)(fabric)
    fabric.deliver()


def retried(fabric: SubscribedStream) -> None:
    """Park keys that are retried, and have other events wait."""
    fabric.put(*(event(f"b{number}", key=f"b{number}") for number in range(4)))
    fabric.deliver()
    waiting(LANE)(fabric)


def fast(events_a_record: int, records: int, size: int = 0) -> Callable[[SubscribedStream], None]:
    """Append so many records at once."""

    def put(fabric: SubscribedStream) -> None:
        random = Random(1)
        for number in range(records):
            events = [
                Event(
                    id=f"fast {number} {index}",
                    type="placed",
                    key=f"f{number} {index}",
                    data=random.randbytes(size // 2).hex(),
                    time=TIME,
                    source="/t",
                )
                for index in range(events_a_record)
            ]
            fabric.put(*events)

    return put


FOUR = [lane(number) for number in range(4)]
TWO_INVOCATIONS = {"function": UserString("{ maximum_concurrency = 2 }")}
AUTO = {"concurrency": "auto"}

SITUATIONS: dict[str, tuple[Situation, Bottleneck, str]] = {
    "everything is delivered": (Situation(before=delivered), Bottleneck.NOTHING, ""),
    "events came just now": (
        Situation(before=lambda fabric: waiting(LANE)(fabric), between=lambda fabric: delivered(fabric)),
        Bottleneck.NOTHING,
        "",
    ),
    "somebody paused it": (
        Situation(before=switched(CircuitState.PAUSED)),
        Bottleneck.PAUSED,
        "subscriptions resume billing",
    ),
    "what the handler calls is dead": (
        Situation(before=switched(CircuitState.OPEN), watched=FunctionFigures(throttles=40)),
        Bottleneck.DOWNSTREAM,
        "mend what the handler calls",
    ),
    "what the handler calls fails now and then": (
        Situation(
            failing=Failing({f"b{number}": 9 for number in range(4)}),
            settings={"retry": UserString("{ immediate = 0, attempts = 50 }")},
            before=retried,
            between=some_of(LANE, seconds=9),
        ),
        Bottleneck.DOWNSTREAM,
        "parked list billing",
    ),
    "what the handler calls gets slower": (
        Situation(
            settings=AUTO,
            before=waiting(*FOUR[:2]),
            between=some_of(*FOUR[:2]),
            watched=FunctionFigures(limit=3),
        ),
        Bottleneck.DOWNSTREAM,
        "more capacity downstream",
    ),
    "producers publish one by one": (
        Situation(between=fast(1, 150)),
        Bottleneck.PACKING,
        "publish_many",
    ),
    "producers fill a lane with packed records": (
        Situation(between=fast(20, 30, size=2_000)),
        Bottleneck.LANES,
        f"lanes split orders {LANE}",
    ),
    "one lane has it all, at as many attempts as there may be": (
        Situation(settings={"concurrency": 64}, before=waiting(LANE), between=some_of(LANE)),
        Bottleneck.LANES,
        f"lanes split orders {LANE}",
    ),
    "one key has it all": (
        Situation(before=waiting(LANE, key="hot"), between=some_of(LANE)),
        Bottleneck.HOT_KEY,
        "publish_many",
    ),
    "the queue has fewer invocations than lanes lag": (
        Situation(
            lanes=4,
            settings=TWO_INVOCATIONS,
            before=waiting(*FOUR),
            between=some_of(*FOUR[:2]),
            watched=FunctionFigures(invocations=2),
        ),
        Bottleneck.POLLERS,
        "maximum_concurrency",
    ),
    "the account has no invocations left": (
        Situation(
            lanes=4,
            before=waiting(*FOUR),
            between=some_of(*FOUR[:2]),
            watched=FunctionFigures(invocations=2, throttles=40),
        ),
        Bottleneck.ACCOUNT,
        "reserved_concurrency",
    ),
    "each event takes long": (
        Situation(
            lanes=4, before=waiting(*FOUR), between=some_of(*FOUR), watched=FunctionFigures(invocations=4)
        ),
        Bottleneck.HANDLER,
        'concurrency = "auto"',
    ),
    "the bound of a limit is low": (
        Situation(
            lanes=4,
            settings={**AUTO, "concurrency_max": 4},
            before=waiting(*FOUR),
            between=some_of(*FOUR),
            watched=FunctionFigures(limit=4),
        ),
        Bottleneck.HANDLER,
        "concurrency_max",
    ),
    "a lane is stopped": (Situation(before=waiting(LANE)), Bottleneck.STOPPED, "reconcile"),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_the_bottleneck_is_named_with_the_lever_that_comes_next(name: str) -> None:
    situation, bottleneck, lever = SITUATIONS[name]
    figures, diagnosis = situation.explained()
    assert diagnosis.bottleneck is bottleneck, (figures, diagnosis)
    assert bool(diagnosis.levers) == bool(lever)
    if lever:
        assert lever in diagnosis.levers[0].change
        assert all(own.brings and own.costs for own in diagnosis.levers)


def test_a_command_that_is_a_lever_can_be_typed_as_it_stands() -> None:
    levers = [lever for situation, _, _ in SITUATIONS.values() for lever in situation.explained()[1].levers]
    typed = [lever.change.partition(",")[0].split() for lever in levers if "eventfabric " in lever.change]
    assert {words[1] for words in typed} == {"subscriptions", "parked", "lanes", "reconcile"}
    for _, *words in typed:
        command: Any = get_command(app)
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        command.make_context("eventfabric", words)  # a UsageError, if it takes others


def test_every_bottleneck_is_planted() -> None:
    assert {bottleneck for _, bottleneck, _ in SITUATIONS.values()} == set(Bottleneck)


def test_the_figures_are_what_was_seen_between_the_looks() -> None:
    figures, _ = SITUATIONS["each event takes long"][0].explained()
    assert (figures.lanes, figures.lagging, figures.moving) == (4, 4, 4)
    assert figures.waiting == 4 * 40 - round(figures.handled * figures.seconds)
    assert figures.oldest_seconds >= OLD_SECONDS
    assert (figures.arrived, figures.budget_percent) == (0, None)


@pytest.mark.parametrize(("seconds", "bottleneck"), [(600, Bottleneck.NOTHING), (30, Bottleneck.HANDLER)])
def test_an_objective_says_what_is_late(seconds: int, bottleneck: Bottleneck) -> None:
    settings = {"slo": UserString(f"{{ latency_ms = {1000 * seconds} }}")}
    situation = Situation(settings=settings, before=waiting(LANE), between=some_of(LANE))
    figures, diagnosis = situation.explained()
    assert diagnosis.bottleneck is bottleneck
    assert figures.budget_percent is not None
    assert figures.budget_percent >= 100 * OLD_SECONDS / seconds


def test_no_key_of_an_event_is_told() -> None:
    figures, diagnosis = SITUATIONS["one key has it all"][0].explained()
    assert f"{LANE}@" in diagnosis.because
    assert "hot" not in diagnosis.because.replace(str(LANE), "")
    assert figures.load.sample.key_share == 1
