"""Events that come late: one of their key was published later, in another Region, and is handled already."""

from dataclasses import replace
from typing import Any

import pytest

from eventfabric import Delivery, Event, subscriber
from eventfabric.errors import DefinitionError, HandlerError
from eventfabric.limits import LATE_AFTER_SECONDS
from eventfabric.model import AtSequence, Committed, Lane, Region, SequenceNumber
from eventfabric.sdk.operations import Operations
from eventfabric.sdk.subscriber import SubscriberHandler
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.services.operations.failover import Failover
from eventfabric.telemetry import LogEvent, Metric
from eventfabric.testing.memory.clock import MemoryClock
from eventfabric.testing.memory.faults import Faults
from tests.support.failing_handlers import Failing, retry
from tests.support.memory_fabric import AWAY, HOME, STREAM, event, lane
from tests.support.messages import TextWith
from tests.support.recording_handler import Recorder
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream


def publish(fabric: SubscribedStream, *names: str, origin: Region = HOME, index: int = 0) -> Lane:
    """Append an event a name, of the key that it begins with, to a lane of an origin."""
    of = lane(index, origin)
    log = fabric.cloud.log(STREAM, origin)
    for name in names:
        assert log.append(fabric.record(log.tail(of), event(name, key=name[0]), of=of)) is None
    return of


def lost_and_back(**settings: Any) -> SubscribedStream:
    """HOME accepted a1, b1, c1 and was lost; AWAY took over and delivered a2, b2; HOME is back. As AWAY sees it."""
    home = SubscribedStream(**settings)
    away = home.in_region(AWAY)
    publish(home, "a0")
    home.cloud.replicate()
    home.cloud.cut(HOME)
    publish(home, "a1", "b1", "c1")
    Failover(home.topology, source=HOME, target=AWAY, ports=home.ports(AWAY)).hand_over("lost")
    home.clock.advance(10)
    publish(home, "a2", "b2", origin=AWAY)
    away.deliver(lane(0))
    away.deliver(lane(0, AWAY))
    home.clock.advance(LATE_AFTER_SECONDS)
    home.cloud.heal(HOME)
    home.cloud.replicate()
    return away


def late_of(fabric: SubscribedStream) -> dict[str, str | None]:
    """Return the events that were handed out, each with the later event that it came after."""
    return {str(event.id): str(event.later.id) if event.later else None for event in fabric.recorder.events}


def test_what_a_lost_region_had_accepted_is_late_where_its_key_went_on_meanwhile() -> None:
    away = lost_and_back()
    away.deliver(lane(0))
    assert late_of(away) == {"a0": None, "a2": None, "b2": None, "a1": "a2", "b1": "b2", "c1": None}
    assert [event.late for event in away.recorder.events] == [False] * 3 + [True, True, False]
    assert away.telemetry.totals[Metric.EVENTS_LATE] == 2


def test_what_a_region_handed_out_counts_though_its_lane_was_handed_over_without_its_knowing() -> None:
    """HOME had taken AWAY's own lane over while they were cut off; AWAY, who could not know, went on with it."""
    away = lost_and_back()
    home, key = away.in_region(HOME), away.key_of(lane(0, AWAY))
    unread = home.ledger.state(key).cursor(HOME)
    taken = replace(unread, epoch=1)
    home.cloud.cut(HOME)
    assert isinstance(home.ledger.commit(key, unread, taken), Committed)
    home.cloud.heal(HOME)
    home.cloud.replicate()
    assert away.ledger.state(key).latest == HOME
    away.deliver(lane(0))
    assert late_of(away) == {"a0": None, "a2": None, "b2": None, "a1": "a2", "b1": "b2", "c1": None}


@pytest.mark.parametrize("batch", [1, 10])
def test_events_of_a_batch_are_handed_out_one_by_one_where_some_are_late(batch: int) -> None:
    away = lost_and_back()
    handler = Recorder(batch_events_max=batch)
    away.deliver(lane(0), by=away.deliverer(handler=handler))
    assert [event.late for event in handler.events] == [True, True, False]
    assert len(handler.attempts) == 3


def test_dead_letter_sets_late_events_aside_for_somebody_and_nothing_else() -> None:
    away = lost_and_back(on_late="dead_letter")
    assert away.deliver(lane(0)).outcome is LaneOutcome.DELIVERED
    assert sorted(late_of(away)) == ["a0", "a2", "b2", "c1"]
    letters = Operations(away.topology, AWAY, away.ports()).dead_letters(SUBSCRIPTION)
    by_key = {letter.parked.key: letter for letter in letters.find()}
    assert sorted(by_key) == ["a", "b"]
    failure = by_key["a"].parked.failure
    assert (failure.error_type.rpartition(":")[2], failure.attempts, failure.event_id) == (
        "LateEventError",
        0,
        "a1",
    )
    assert failure.message == TextWith("event a2", AWAY)
    # Somebody says that it is to be handled all the same.
    letters.redrive(by_key["a"])
    letters.discard(by_key["b"])
    away.deliver_all()
    assert late_of(away)["a1"] == "a2"
    assert list(letters.find()) == []


@pytest.mark.parametrize("guarantee", ["at_most_once", "at_least_once", "exactly_once"])
def test_reconcile_gives_them_to_the_second_function_with_the_later_one(guarantee: str) -> None:
    handled: list[tuple[str, str, str | None]] = []

    @subscriber
    def charge(event: Event, delivery: Delivery) -> None:
        handled.append(("first", str(event.id), None))

    @charge.late
    def compare(event: Event, delivery: Delivery) -> None:
        assert event.later is not None
        handled.append(("second", str(event.id), str(event.later.id)))

    away = lost_and_back(on_late="reconcile", guarantee=guarantee)
    handler = SubscriberHandler(
        charge, clock=away.clock, transactional=guarantee == "exactly_once", reconciles_late=True
    )
    away.deliver(lane(0), by=away.deliverer(handler=handler))
    assert handled == [("second", "a1", "a2"), ("second", "b1", "b2"), ("first", "c1", None)]


def test_a_late_event_that_failed_is_late_at_each_further_attempt() -> None:
    away = lost_and_back(**retry(immediate=0, attempts=5))
    failing = Failing({"a1": 2})
    handler = Recorder(before=failing)
    by = away.deliverer(handler=handler)
    away.deliver(lane(0), by=by)
    away.deliver_all(by=by)
    assert {str(event.id): event.late for event in handler.events} == {"a1": True, "b1": True, "c1": False}


@pytest.mark.parametrize("is_there", [True, False])
def test_an_edited_event_is_late_as_the_one_in_whose_place_it_is(is_there: bool) -> None:
    away = lost_and_back(on_late="dead_letter")
    away.deliver(lane(0))
    letters = Operations(away.topology, AWAY, away.ports()).dead_letters(SUBSCRIPTION)
    late = next(letter for letter in letters.find() if letter.parked.key == "a")
    letters.redrive(late, replacement=event("a1", key="a", type="edited"))
    if not is_there:  # nothing tells then when it was published
        item = next(item for item in away.table.items if item["sk"]["N"] == str(late.parked.first.base))
        away.table.write("Delete", {"Key": {"pk": item["pk"], "sk": item["sk"]}})
    away.deliver(lane(0), tail=99)
    edited = next(event for event in away.recorder.events if event.id == "a1")
    assert (edited.type, str(edited.later.id) if edited.later else None) == (
        "edited",
        "a2" if is_there else None,
    )


def test_reconcile_needs_a_second_function() -> None:
    @subscriber
    def charge(event: Event, delivery: Delivery) -> None:
        pass

    with pytest.raises(HandlerError, match=r'on_late is "reconcile", allowed: .* by @.*charge\.late'):
        SubscriberHandler(charge, clock=MemoryClock(), transactional=False, reconciles_late=True)


def test_at_most_once_sets_nothing_aside() -> None:
    with pytest.raises(
        DefinitionError, match='on_late: found "dead_letter", allowed: "deliver" or "reconcile"'
    ):
        SubscribedStream(on_late="dead_letter", guarantee="at_most_once")


class TestNotLate:
    """Events that are not late."""

    def test_a_later_one_that_is_not_handed_out_yet(self) -> None:
        fabric = SubscribedStream()
        publish(fabric, "a1")
        fabric.clock.advance(1)
        publish(fabric, "a2", origin=AWAY)
        fabric.cloud.replicate()
        fabric.clock.advance(LATE_AFTER_SECONDS + 1)
        fabric.deliver(lane(0))
        assert late_of(fabric) == {"a1": None}

    def test_an_earlier_one_that_is(self) -> None:
        fabric = SubscribedStream()
        away = fabric.in_region(AWAY)
        publish(fabric, "a1", origin=AWAY)
        away.deliver(lane(0, AWAY))
        fabric.clock.advance(1)
        publish(fabric, "a2")
        fabric.cloud.replicate()
        fabric.clock.advance(LATE_AFTER_SECONDS + 1)
        fabric.deliver(lane(0))
        assert late_of(fabric) == {"a2": None}

    def test_one_of_a_type_that_the_subscription_does_not_want(self) -> None:
        away = lost_and_back(types=["paid"])
        assert away.deliver(lane(0)).outcome is LaneOutcome.DELIVERED
        assert away.recorder.events == []

    def test_a_replay(self) -> None:
        away = lost_and_back()
        away.deliver(lane(0))
        operations = Operations(away.topology, AWAY, away.ports())
        replay = operations.replay(SUBSCRIPTION)
        for plan in replay.plan(AtSequence(SequenceNumber(0))):
            replay.carry_out(plan)
        away.deliver_all()
        replayed = away.recorder.events[6:]
        assert sorted(str(event.id) for event in replayed) == ["a0", "a1", "a2", "b1", "b2", "c1"]
        assert not any(event.late for event in replayed)


class TestReads:
    """Reads that it costs to look for later events."""

    def test_fresh_events_cost_nothing(self) -> None:
        fabric, faults = SubscribedStream(), Faults()
        publish(fabric, "a1", "b1")
        publish(fabric, "a2", origin=AWAY)
        fabric.cloud.replicate()
        fabric.clock.advance(LATE_AFTER_SECONDS - 1)
        fabric.deliver(lane(0), by=fabric.deliverer(faults=faults))
        assert [call for call in faults.calls if call.startswith("log.")] == ["log.read"]

    def test_old_ones_a_tail_where_nothing_came_later(self) -> None:
        fabric, faults = SubscribedStream(), Faults()
        publish(fabric, *(f"a{number}" for number in range(300)))
        fabric.cloud.replicate()
        fabric.clock.advance(LATE_AFTER_SECONDS + 1)
        fabric.deliver(lane(0), by=fabric.deliverer(faults=faults))
        assert (faults.count("log.tail"), faults.count("log.read")) == (1, 4)

    @pytest.mark.parametrize("on_late", ["deliver", "dead_letter"])
    def test_an_event_is_late_by_however_many_records(self, on_late: str) -> None:
        away = lost_and_back(on_late=on_late)
        # All that AWAY published since, and then one more of the key.
        publish(away, *(f"z{number}" for number in range(2_500)), "c2", origin=AWAY)
        away.deliver(lane(0, AWAY), time_ms=10**9)
        away.deliver(lane(0), time_ms=10**9)
        said = late_of(away)
        if on_late == "deliver":
            assert [said[name] for name in ("a1", "b1", "c1")] == ["a2", "b2", "c2"]
        else:
            assert not {"a1", "b1", "c1"} & said.keys()
            assert set(away.parked()) == {"a", "b", "c"}

    def test_where_the_time_is_up_nothing_is_handed_out_and_the_look_goes_on_where_it_was(self) -> None:
        away, faults = lost_and_back(on_late="dead_letter"), Faults()
        publish(away, *(f"z{number}" for number in range(250)), "c2", origin=AWAY)
        away.deliver(lane(0, AWAY))
        slow = away.deliverer(faults=faults)
        log = slow._context.log
        read = log.read

        def read_slowly(*arguments: Any, **named: Any) -> Any:
            away.clock.advance(60)
            return read(*arguments, **named)

        log.read = read_slowly  # type: ignore[method-assign]  # a log whose pages take a minute each
        for _ in range(3):
            away.deliver(lane(0), by=slow, time_ms=100_000)
        assert "c1" not in late_of(away)
        assert LogEvent.LATE_UNKNOWN in away.telemetry.events
        assert set(away.parked()) == {"a", "b", "c"}
        assert faults.count("log.read") < 3 * 4
