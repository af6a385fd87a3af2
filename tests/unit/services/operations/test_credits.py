"""Producers that are held back, as operators see them; and letting them go on."""

from dataclasses import replace
from typing import Any

import pytest

from eventfabric.errors import SettingError, ThrottledError
from eventfabric.model import Circuit, CircuitState, Lane, LaneIndex, SequenceNumber
from eventfabric.services.catalogue.deployment import Deployer, declare_all
from eventfabric.services.catalogue.incarnations import as_declared
from eventfabric.services.operations.credits import (
    OPEN_SECONDS_MAX,
    GatedLane,
    Gates,
    Why,
    gate_named,
    gates_of,
)
from eventfabric.services.operations.retire import Retirement
from eventfabric.services.reconciliation.reconcile import Reconciler
from eventfabric.testing.memory.faults import Fault, Faults, nth
from tests.support.failing_handlers import Failing, fabric_of
from tests.support.granted import account, slot
from tests.support.handovers import hand_over
from tests.support.memory_fabric import AWAY, HOME, LANE, event, lane
from tests.support.reconciliations import put_cursor
from tests.support.replays import replay
from tests.support.subscribed_stream import LANE_KEY, SUBSCRIPTION, SubscribedStream

EVENTS_MIN = 16


def put(fabric: SubscribedStream, count: int, *, name: str = "e", of: Lane = LANE) -> None:
    fabric.put(*(event(f"{name}{number}", key=str(number)) for number in range(count)), of=of)


def gated(**settings: Any) -> SubscribedStream:
    """A stream whose subscription has delivered 40 events of a lane, and holds its producers back."""
    fabric = fabric_of(
        Failing({}), batch_events_max=100, **{"backpressure.events_min": EVENTS_MIN, **settings}
    )
    put(fabric, 40)
    fabric.relay_all()
    fabric.deliver_all()
    return fabric


def full(**settings: Any) -> SubscribedStream:
    """Such a stream, and nothing may be appended to its lane."""
    fabric = gated(**settings)
    granted = slot(fabric)
    assert granted is not None
    put(fabric, granted - 40, name="f")
    return fabric


def gates(fabric: SubscribedStream, faults: Faults | None = None) -> Gates:
    ports = fabric.ports()
    if faults is not None:
        wrapped = faults.ports(ports)
        ports = replace(
            ports,
            credits=wrapped.credits,
            ledger=wrapped.ledger,
            at=lambda region: faults.ports(fabric.ports(region)),
        )
    return Gates(fabric.stream, gates_of(fabric.topology, fabric.stream), ports=ports)


def only(fabric: SubscribedStream) -> GatedLane:
    (seen,) = gates(fabric).lanes()
    return seen


class TestALook:
    def test_at_a_stream_that_nobody_gates_makes_no_call(self) -> None:
        fabric, faults = fabric_of(Failing({})), Faults()
        assert gates(fabric, faults).lanes() == []
        assert faults.calls == []

    def test_lists_lanes_that_were_ever_granted_anything(self) -> None:
        fabric = gated()
        put(fabric, 400, of=lane(1))
        seen = only(fabric)
        assert (seen.lane, seen.region, seen.granted) == (LANE, HOME, slot(fabric))
        assert (seen.waiting, seen.left) == (0, account(fabric).granted - 40)
        assert (seen.is_short, seen.why) == (False, None)

    def test_tells_that_the_consumer_is_behind_and_since_when(self) -> None:
        fabric = full()
        fabric.clock.advance(90)
        seen = only(fabric)
        assert (seen.why, seen.left) == (Why.BEHIND, 0)
        assert seen.since_ms == fabric.clock.now_ms() - 90_000

    def test_tells_since_when_passes_have_seen_it_so(self) -> None:
        fabric = full()
        list(
            Reconciler(fabric.stream, region=HOME, ports=fabric.ports(), telemetry=fabric.telemetry).run(
                repair=True
            )
        )
        before_ms = fabric.clock.now_ms()
        fabric.clock.advance(30)
        fabric.relay_all()
        fabric.deliver_all()
        granted = slot(fabric)
        assert granted is not None
        put(fabric, granted - fabric.log.tail(LANE).sequence, name="g")
        assert only(fabric).since_ms == before_ms

    @pytest.mark.parametrize(
        ("circuit", "holds", "why"),
        [
            (CircuitState.OPEN, "pass", Why.CIRCUIT_OPEN),
            (CircuitState.PAUSED, "hold", Why.PAUSED),
            (CircuitState.PAUSED, "pass", Why.PAUSED_RUNG),
        ],
    )
    def test_tells_what_stops_deliveries(self, circuit: CircuitState, holds: str, why: Why) -> None:
        fabric = full(**{"backpressure.while_paused": holds})
        fabric.ledger.switch(LANE_KEY.stream, LANE_KEY.subscription, Circuit(), Circuit(circuit))
        assert only(fabric).why is why

    def test_tells_that_a_replay_is_under_way(self) -> None:
        fabric = full()
        fabric.relay_all()
        fabric.deliver_all()
        granted = slot(fabric)
        assert granted is not None
        replay(fabric, 0)
        put(fabric, granted - fabric.log.tail(LANE).sequence, name="g")
        assert only(fabric).why is Why.REPLAYED

    def test_tells_that_nothing_waits(self) -> None:
        fabric = full()
        tail = fabric.log.tail(LANE)
        put_cursor(fabric, sequence=tail.sequence, base=tail.sequence, chain=tail.chain)
        assert only(fabric).why is Why.IDLE

    def test_reports_a_lane_that_cannot_be_read_and_goes_on(self) -> None:
        fabric = gated()
        put(fabric, 4, of=lane(1))
        fabric.relay_all()
        fabric.deliver_all()
        table = fabric.cloud.regions[HOME].table(fabric.topology.ledger_of(LANE_KEY.stream).name)
        key = {"pk": {"S": str(LANE_KEY)}, "sk": {"S": f"{HOME}/cursor"}}
        table.write("Put", {"Item": {**key, "s": {"S": "?"}}})
        errors = list[Exception]()
        assert [seen.lane for seen in gates(fabric).lanes(unreadable=errors.append)] == [lane(1)]
        assert len(errors) == 1


class TestARegionThatDeliversElsewhere:
    def test_is_asked_for_its_circuit(self) -> None:
        fabric = full()
        fabric.cloud.replicate()
        away = fabric.in_region(AWAY)
        fabric.ledger.switch(LANE_KEY.stream, LANE_KEY.subscription, Circuit(), Circuit(CircuitState.OPEN))
        seen = only(away)
        assert (seen.region, seen.why) == (HOME, Why.CIRCUIT_OPEN)

    def test_that_does_not_answer_is_the_reason(self) -> None:
        fabric = full()
        fabric.cloud.replicate()
        away = fabric.in_region(AWAY)
        looked = gates(away, Faults(nth(2, Fault.DENIED, name="ledger.standing")))
        (seen,) = looked.lanes()
        assert (seen.why, list(looked.unanswered)) == (Why.NO_ANSWER, [HOME])

    def test_is_granted_there_too_so_that_its_function_goes_on_from_that(self) -> None:
        fabric = full()
        fabric.cloud.replicate()
        away = fabric.in_region(AWAY)
        opened = gates(away)
        assert opened.open(opened.openings(600)) == 1
        assert slot(away) == slot(fabric)
        assert slot(fabric) == fabric.log.tail(LANE).sequence + best(fabric, 600)

    def test_is_not_needed_for_that(self) -> None:
        fabric = full()
        fabric.cloud.replicate()
        away = fabric.in_region(AWAY)
        opened = gates(away, Faults(nth(2, Fault.DENIED, name="credits.grant")))
        assert opened.open(opened.openings(600)) == 1
        assert list(opened.unanswered) == [HOME]
        assert not only(away).is_short

    def test_is_needed_where_each_delivers_for_itself(self) -> None:
        fabric = full(deliver="everywhere")
        fabric.cloud.replicate()
        away = fabric.in_region(AWAY)
        opened = gates(away, Faults(nth(1, Fault.DENIED, name="credits.grant")))
        openings = opened.openings(600)
        assert opened.open(openings) == 0
        assert list(opened.unanswered) == [HOME]
        assert slot(away) is None

    def test_grants_count_for_itself_alone_where_each_delivers_for_itself(self) -> None:
        fabric = full(deliver="everywhere")
        fabric.ports(AWAY).credits.grant(LANE_KEY, SequenceNumber(1_000))
        fabric.cloud.replicate()
        assert only(fabric).is_short
        opened = gates(fabric)
        assert opened.open(opened.openings(600)) == 1
        assert not only(fabric).is_short

    def test_that_took_over_is_the_one_that_delivers(self) -> None:
        fabric = full()
        fabric.cloud.replicate()
        away = fabric.in_region(AWAY)
        hand_over(away)
        assert only(away).region == AWAY


def best(fabric: SubscribedStream, seconds: int) -> int:
    return max(EVENTS_MIN, int(account(fabric).best * seconds))


class TestAnOpening:
    def test_grants_nothing_before_it_is_carried_out(self) -> None:
        fabric = full()
        before = slot(fabric)
        (opening,) = gates(fabric).openings(60)
        assert slot(fabric) == before
        assert opening.more == opening.granted - fabric.log.tail(LANE).sequence > 0

    def test_grants_what_the_lane_delivered_at_its_best_for_so_long(self) -> None:
        fabric = full()
        opened = gates(fabric)
        assert opened.open(opened.openings(600)) == 1
        assert slot(fabric) == fabric.log.tail(LANE).sequence + best(fabric, 600) > 2 * EVENTS_MIN

    def test_of_a_short_time_grants_what_producers_may_always_be_ahead(self) -> None:
        fabric = full()
        opened = gates(fabric)
        opened.open(opened.openings(1))
        assert slot(fabric) == fabric.log.tail(LANE).sequence + EVENTS_MIN

    def test_that_is_made_again_grants_no_more(self) -> None:
        fabric = full()
        for count in (1, 0):
            opened = gates(fabric)
            assert opened.open(opened.openings(600)) == count

    def test_goes_on_where_it_was_interrupted(self) -> None:
        fabric = gated()
        put(fabric, 4, of=lane(1))
        fabric.relay_all()
        fabric.deliver_all()
        opened = gates(fabric, Faults(nth(2, Fault.THROTTLED, name="credits.grant")))
        with pytest.raises(ThrottledError):
            opened.open(opened.openings(600))
        assert [bool(opening.more) for opening in gates(fabric).openings(600)] == [False, True]

    def test_is_where_the_next_grants_begin(self) -> None:
        fabric = full()
        opened = gates(fabric)
        opened.open(opened.openings(600))
        granted = slot(fabric)
        assert granted is not None
        put(fabric, 10, name="g")
        fabric.relay_all()
        fabric.deliver_all()
        assert account(fabric).granted >= granted

    def test_gates_no_lane_that_was_not_gated(self) -> None:
        fabric = gated()
        put(fabric, 4, of=lane(1))
        opened = gates(fabric)
        assert opened.open(opened.openings(600)) == 1
        granted = fabric.ports().credits.granted(LANE_KEY.stream, LANE_KEY.subscription, HOME, part=0)
        assert set(granted[HOME]) == {LaneIndex(0)}

    def test_says_how_far_it_has_come(self) -> None:
        fabric, steps = full(), list[None]()
        opened = gates(fabric)
        opened.open(opened.openings(600), advance=lambda: steps.append(None))
        assert len(steps) == 1

    @pytest.mark.parametrize("seconds", [0, -1, OPEN_SECONDS_MAX + 1])
    def test_of_no_time_that_there_is_is_refused(self, seconds: int) -> None:
        with pytest.raises(SettingError, match="time"):
            gates(full()).openings(seconds)

    def test_of_a_subscription_that_holds_nobody_back_is_refused(self) -> None:
        with pytest.raises(SettingError, match="holds nobody back"):
            gate_named(fabric_of(Failing({})).topology, SUBSCRIPTION)


def test_a_retired_subscription_is_no_gate_any_more() -> None:
    fabric = full()
    for region in (HOME, AWAY):
        declare_all(Deployer(fabric.topology, region, fabric.ports(region), by="stack", request_id="r1"))
    fabric.cloud.replicate()
    declared = as_declared(fabric.topology, HOME, fabric.ports())
    assert [gate.name for gate in gates_of(declared, fabric.stream)] == [SUBSCRIPTION]
    Retirement.of(fabric.topology, SUBSCRIPTION, fabric.ports(), by="me").end()
    declared = as_declared(fabric.topology, HOME, fabric.ports())
    assert gates_of(declared, fabric.stream) == []
    with pytest.raises(SettingError, match="retired"):
        gate_named(declared, SUBSCRIPTION)


def test_a_grant_beyond_all_events_is_still_a_grant() -> None:
    fabric = full()
    fabric.ports().credits.grant(LANE_KEY, SequenceNumber(1 << 40))
    assert (only(fabric).is_short, only(fabric).left > 1 << 39) == (False, True)
