"""Replays of a subscription whose handler publishes: an event publishes once, unless somebody asks for more."""

import pytest

from eventfabric import Delivery, Event, limits
from eventfabric.errors import ReplayRefusedError
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.faults import Faults
from tests.support.dead_letters import letters_of
from tests.support.failing_handlers import retry
from tests.support.memory_fabric import LANE, event
from tests.support.messages import raises_with
from tests.support.publishing_stream import PublishingStream, bill_and_count
from tests.support.replays import at_sequence, replay, replay_of
from tests.support.subscribed_stream import SubscribedStream
from tests.unit.services.operations.test_replay_into import audit, stands_at
from tests.unit.services.operations.test_replay_key import A


def publishing(*failing: str) -> tuple[PublishingStream, set[str]]:
    """Return a stream whose handler fails at these events, for as long as they are in the set."""
    names = set(failing)

    def fails(event: Event, delivery: Delivery) -> None:
        if event.id in names:
            raise ValueError
        bill_and_count(event, delivery)

    return PublishingStream(fails, guarantee="exactly_once", **retry(attempts=1)), names


def all_redriven(fabric: PublishingStream) -> None:
    letters = letters_of(fabric, Faults())
    for letter in list(letters.find()):
        letters.redrive(letter)
    while fabric.parked():
        fabric.deliver_all()
        fabric.clock.advance(60)


def replayed(
    fabric: PublishingStream, start: int, *, key: str | None = None, publish: bool = False, fed: bool = False
) -> None:
    """Replay it from a sequence on, or feed it from a second subscription of its stream, and deliver everything."""
    operation = (
        replay_of(fabric, source=audit(fabric), into=fabric.subscription)
        if fed
        else replay_of(fabric, publish=publish)
    )
    for plan in operation.plan(at_sequence(start), key=key, lane=LANE):
        operation.carry_out(plan)
    fabric.deliver_all()


@pytest.mark.parametrize("start", [1, 2, 3])
def test_a_key_of_which_the_log_has_the_rest_holds_that_rest(
    monkeypatch: pytest.MonkeyPatch, start: int
) -> None:
    monkeypatch.setattr(limits, "PARKED_PLACES_MAX", 2)
    fabric, failing = publishing("e0")
    for number in range(4):
        fabric.put(event(f"e{number}"))
    fabric.deliver()
    with raises_with(
        ReplayRefusedError, "1 parked keys", LANE, f"sequence {start}", "would not be published"
    ):
        replay(fabric, start)
    failing.clear()
    all_redriven(fabric)
    assert sorted(fabric.invoiced()) == ["e0", "e1", "e2", "e3"]
    assert Metric.EVENTS_NOT_REPUBLISHED not in fabric.telemetry.totals


def test_with_publish_what_waits_comes_again_and_publishes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PARKED_PLACES_MAX", 2)
    fabric, failing = publishing("e0")
    for number in range(4):
        fabric.put(event(f"e{number}"))
    fabric.deliver()
    replayed(fabric, 3, publish=True)
    failing.clear()
    all_redriven(fabric)
    assert fabric.invoiced() == ["e0", "e1", "e2", "e3"]


def test_one_that_is_fed_publishes_what_it_never_handled() -> None:
    for handled in (0, 3):
        fabric, _ = publishing()
        for number in range(3):
            fabric.put(event(f"e{number}"))
        if handled:
            fabric.deliver()
        for number in range(3, 6):
            fabric.put(event(f"e{number}"))
        stands_at(fabric, 5)
        replayed(fabric, 0, fed=True)
        assert fabric.invoiced() == [f"e{number}" for number in range(6)]
        assert fabric.telemetry.totals.get(Metric.EVENTS_NOT_REPUBLISHED, 0) == handled
        assert fabric.cursor().replay_until == 0


def test_with_publish_each_event_publishes_again_under_its_id() -> None:
    fabric, _ = publishing()
    for number in range(3):
        fabric.put(event(f"e{number}"))
    fabric.deliver()
    replayed(fabric, 1, publish=True)
    _, second, third, *again = fabric.invoices()
    assert fabric.invoiced() == ["e0", "e1", "e2", "e1", "e2"]
    assert [invoice.id for invoice in again] == [second.id, third.id]
    assert Metric.EVENTS_NOT_REPUBLISHED not in fabric.telemetry.totals


def test_a_key_that_is_replayed_publishes_again_only_with_publish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PARKED_PLACES_MAX", 1)
    fabric, _ = publishing()
    for number in range(3):
        fabric.put(event(f"e{number}", key=A))
    fabric.deliver()
    for publish, count in ((False, 3), (True, 6)):
        replayed(fabric, 0, key=A, publish=publish)
        while fabric.parked():
            fabric.clock.advance(60)
            fabric.deliver_all()
        assert len(fabric.invoices()) == count


def test_an_event_that_was_discarded_publishes_only_with_publish() -> None:
    fabric, failing = publishing("e0")
    fabric.put(event("e0"))
    fabric.deliver()
    letters = letters_of(fabric, Faults())
    letters.discard(next(iter(letters.find())))
    failing.clear()
    replayed(fabric, 0)
    assert (fabric.effects(), fabric.invoiced()) == ({"e0": 1}, [])
    replayed(fabric, 0, publish=True)
    assert fabric.invoiced() == ["e0"]


def test_while_a_replay_that_publishes_is_under_way_no_other_marks_what_is_left_of_it() -> None:
    fabric, failing = publishing("e2")
    for number in range(4):
        fabric.put(event(f"e{number}", key=f"k{number}"))
    fabric.deliver()
    failing.clear()
    operation = replay_of(fabric, publish=True)
    (plan,) = operation.plan(at_sequence(1), lane=LANE)
    operation.carry_out(plan)
    with raises_with(ReplayRefusedError, f"{LANE} is at 1", "up to 4", "would not be published", "--publish"):
        replay(fabric, 0)
    fabric.deliver_all()
    assert sorted(fabric.invoiced()) == ["e0", "e1", "e1", "e2", "e3", "e3"]
    replayed(fabric, 0)
    assert len(fabric.invoices()) == 6


def test_what_waits_as_a_replay_may_be_replayed_once_more() -> None:
    fabric, failing = publishing()
    for number in range(3):
        fabric.put(event(f"e{number}"))
    fabric.deliver()
    failing.add("e1")
    replayed(fabric, 0)
    assert [place.replay for place in fabric.parked()["k"].waiting] == [True, True]
    failing.clear()
    replayed(fabric, 0)
    assert not fabric.parked()
    assert fabric.invoiced() == ["e0", "e1", "e2"]


def test_one_that_publishes_into_no_stream_has_nothing_to_publish_again() -> None:
    fabric = SubscribedStream()
    with raises_with(ReplayRefusedError, "billing publishes into no stream", "--publish"):
        replay_of(fabric, publish=True)
