"""Failovers: what is handed over, what is reported before, and the order of a planned handover."""

from dataclasses import replace

import pytest

from eventfabric import limits
from eventfabric.definition.file import parse_definition
from eventfabric.errors import FailoverError, PortError
from eventfabric.model import (
    ANY_TAIL,
    START,
    Circuit,
    CircuitState,
    Committed,
    Doorbell,
    Owner,
    Region,
    Standing,
    StreamName,
    SubscriptionName,
)
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.services.operations.failover import Failover
from eventfabric.services.operations.readiness import Readiness
from eventfabric.testing.memory.faults import Fault, Faults
from eventfabric.topology import Topology
from eventfabric.wire.doorbell import from_body
from tests.support.failing_handlers import (
    FEW,
    Failing,
    dead_letters,
    fabric_of,
    named,
    retry,
    the_dead_letter,
)
from tests.support.failovers import Waiting, failover, with_load
from tests.support.memory_fabric import AWAY, FAR, HOME, LANE, STREAM, event, lane
from tests.support.messages import raises_with
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream

NAMES = StreamName(STREAM), SubscriptionName(SUBSCRIPTION)
NOWHERE = Region("eu-north-1")
SETTLE_SECONDS = limits.CIRCUIT_CACHE_SECONDS + limits.FUNCTION_TIMEOUT_SECONDS


def lost(called: str, overall: int, of_name: int) -> Fault | None:
    """A Region that does not answer."""
    return Fault.LOST_REQUEST


def standing(fabric: SubscribedStream, region: Region) -> Standing:
    return fabric.cloud.ledger(region).standing(*NAMES)


def circuit(fabric: SubscribedStream, region: Region = HOME) -> Circuit:
    return standing(fabric, region).circuit


def epochs(written: list[Owner]) -> list[tuple[Region, Region, int]]:
    return [(owner.origin, owner.region, owner.epoch) for owner in written]


class TestRefused:
    @pytest.mark.parametrize(
        ("source", "target", "facts"),
        [
            (HOME, HOME, [f"to {HOME}", "another Region"]),
            (NOWHERE, AWAY, [NOWHERE, "fabric shop", HOME, AWAY]),
            (HOME, NOWHERE, [NOWHERE, "fabric shop", HOME, AWAY]),
        ],
    )
    def test_regions_that_make_no_sense(self, source: Region, target: Region, facts: list[str]) -> None:
        with raises_with(FailoverError, *facts):
            failover(SubscribedStream(), source=source, target=target)

    def test_a_region_that_has_nothing_of_what_the_source_delivers(self) -> None:
        topology = Topology(
            parse_definition(f"""
                [fabric]
                name = "shop"
                regions = ["{HOME}", "{AWAY}"]
                [streams.{STREAM}]
                regions = ["{HOME}"]
                durability = "regional"
                [streams.others]
                regions = ["{AWAY}"]
                durability = "regional"
                [subscriptions.{SUBSCRIPTION}]
                stream = "{STREAM}"
                handler = "subscribers.billing:charge"
            """)
        )
        with raises_with(FailoverError, "no subscription", HOME, AWAY):
            Failover(topology, source=HOME, target=AWAY, ports=SubscribedStream().ports(AWAY))


class TestWhatIsHandedOver:
    def test_the_lanes_that_the_source_delivers_by_the_definition(self) -> None:
        ((subscription, owner),) = failover(SubscribedStream()).handed()
        assert subscription.name == SUBSCRIPTION
        assert owner == Owner(HOME, HOME, 0, HOME)

    def test_those_that_were_handed_to_it_before(self) -> None:
        fabric = SubscribedStream()
        failover(fabric).hand_over()
        fabric.cloud.replicate()
        back = failover(fabric, source=AWAY, target=HOME)
        assert sorted(owner.origin for _, owner in back.handed()) == sorted([HOME, AWAY])
        assert list(failover(fabric).handed()) == []

    def test_only_the_targets_own_where_that_is_wanted(self) -> None:
        fabric = SubscribedStream()
        failover(fabric).hand_over()
        fabric.cloud.replicate()
        back = failover(fabric, source=AWAY, target=HOME, own_only=True)
        assert [owner.origin for _, owner in back.handed()] == [HOME]

    def test_nothing_where_every_region_delivers_for_itself(self) -> None:
        assert list(failover(SubscribedStream(deliver="everywhere")).handed()) == []

    def test_what_only_the_source_knows_of_counts_where_it_answers(self) -> None:
        fabric = SubscribedStream()
        failover(fabric, source=AWAY, target=HOME).hand_over()
        assert standing(fabric, AWAY).owners == ()
        assert {owner.origin for _, owner in failover(fabric).handed()} == {HOME, AWAY}
        assert [owner.origin for _, owner in failover(fabric, lost).handed()] == [HOME]


class TestReadiness:
    def test_how_much_waits_and_how_much_is_not_here(self) -> None:
        fabric = with_load()
        fabric.put(*named("d1"))
        fabric.deliver()
        (ready,) = failover(fabric).readiness()
        assert ready == Readiness(
            fabric.subscription,
            Owner(HOME, HOME, 0, HOME, since_ms=fabric.clock.now_ms(), version=1),
            waiting=3,
            retrying=0,
            dead=1,
            behind=1,
            repeated=3,
            published=0,
        )

    def test_keys_that_are_to_be_tried_again(self) -> None:
        fabric = fabric_of(Failing({"a1": 9, "b1": 9}), *named("a1", "b1"), **FEW)
        fabric.deliver()
        fabric.cloud.replicate()
        (ready,) = failover(fabric).readiness()
        assert (ready.waiting, ready.retrying, ready.dead) == (0, 2, 0)
        assert (ready.behind, ready.repeated) == (0, 0)

    def test_of_a_source_that_does_not_answer_it_is_not_known_what_it_has(self) -> None:
        (ready,) = failover(with_load(), lost).readiness()
        assert (ready.waiting, ready.dead) == (3, 1)
        assert (ready.behind, ready.repeated, ready.published) == (None, None, None)


class TestHandOver:
    def test_the_target_owns_the_lanes_and_all_are_rung_twice(self) -> None:
        fabric = SubscribedStream()
        now_ms = fabric.clock.now_ms()
        assert failover(fabric).hand_over("HOME is lost\ud800") == [
            Owner(HOME, AWAY, 1, AWAY, since_ms=now_ms, reason="HOME is lost\\ud800", version=1)
        ]
        away = fabric.in_region(AWAY)
        assert [from_body(body) for body in away.queue.bodies] == [
            Doorbell(NAMES[0], lane(index), ANY_TAIL, again=now_ms) for index in range(2)
        ]
        assert away.timers.next_due_ms() == now_ms + 2000 * limits.CIRCUIT_CACHE_SECONDS
        fabric.clock.advance(2 * limits.CIRCUIT_CACHE_SECONDS)
        assert [from_body(body) for body in iter(away.timers.take, None)] == [
            Doorbell(NAMES[0], lane(index), ANY_TAIL, again=now_ms + 1) for index in range(2)
        ]

    def test_each_handover_has_a_number_above_all_that_any_lane_knows(self) -> None:
        fabric = SubscribedStream()
        fabric.put(event("a"))
        assert epochs(failover(fabric).hand_over()) == [(HOME, AWAY, 1)]
        fabric.cloud.replicate()
        fabric.clock.advance(limits.CIRCUIT_CACHE_SECONDS)
        away = fabric.in_region(AWAY)
        away.deliver_all()
        assert away.cursor().epoch == 1
        fabric.cloud.replicate()
        back = failover(fabric, source=AWAY, target=HOME, own_only=True)
        assert epochs(back.hand_over()) == [(HOME, HOME, 2)]

    def test_a_lanes_own_number_counts_where_the_item_of_the_handover_is_not_here(self) -> None:
        fabric = SubscribedStream()
        ledger = fabric.cloud.ledger(AWAY)
        assert isinstance(ledger.commit(fabric.key_of(LANE), START, replace(START, epoch=6)), Committed)
        assert epochs(failover(fabric, lost).hand_over()) == [(HOME, AWAY, 7)]

    def test_two_who_hand_over_at_once_do_not_both(self) -> None:
        fabric = SubscribedStream()
        known_failover = failover(fabric)
        ledger = known_failover._ports.ledger

        def other_is_faster(called: str, overall: int, of_name: int) -> None:
            if called == "ledger.hand_over":
                failover(fabric).hand_over("other")

        known_failover._ports = replace(known_failover._ports, ledger=Faults(other_is_faster).ledger(ledger))
        with raises_with(FailoverError, SUBSCRIPTION, f"lanes of {HOME}", "somebody else"):
            known_failover.hand_over("mine")
        assert [owner.reason for owner in standing(fabric, AWAY).owners] == ["other"]

    def test_one_that_was_written_since_the_lanes_were_listed_is_not_gone_back_behind(self) -> None:
        fabric = SubscribedStream()
        slow = failover(fabric)
        listed = [owner for _, owner in slow.handed()]
        for epoch in (1, 2):
            written = standing(fabric, AWAY).written(HOME, AWAY)
            other = Owner(HOME, AWAY, epoch, AWAY)
            assert fabric.cloud.ledger(AWAY).hand_over(*NAMES, written, other)
        slow.handed = lambda: iter([(fabric.subscription, owner) for owner in listed])  # type: ignore[method-assign]  # as it was
        slow.hand_over()
        latest = standing(fabric, AWAY).owner(HOME)
        assert latest is not None
        assert latest.epoch == 3


class TestDrain:
    def test_it_stops_the_source_and_waits_until_everything_is_here(self) -> None:
        fabric = fabric_of(Failing({}), *named("a1", "b1"))
        fabric.deliver()
        moving = failover(fabric)
        seen: list[str] = []
        waiting = Waiting(
            fabric,
            {
                1: lambda: seen.append(fabric.deliver().outcome.value),
                3: lambda: fabric.cloud.replicate(),
            },
        )
        moving.drain(waiting)
        assert waiting.seconds == [SETTLE_SECONDS, 1, 1]
        assert seen == [LaneOutcome.WAITING.value]
        paused = circuit(fabric)
        assert (paused.state, paused.reason) == (CircuitState.PAUSED, f"failover to {AWAY}")
        assert paused.since_ms == fabric.clock.now_ms() - round(1000 * (SETTLE_SECONDS + 2))
        assert [owner.epoch for owner in standing(fabric, AWAY).owners] == [0]

    def test_it_waits_as_long_as_the_functions_may_run(self) -> None:
        fabric = fabric_of(Failing({}), *named("a1"), **{"function.timeout_seconds": 900})
        fabric.deliver()
        fabric.cloud.replicate()
        waiting = Waiting(fabric)
        failover(fabric).drain(waiting)
        assert waiting.seconds == [limits.CIRCUIT_CACHE_SECONDS + 900]

    @pytest.mark.parametrize("delivered", [True, False])
    def test_it_gives_up_where_that_does_not_come_and_the_source_goes_on(self, delivered: bool) -> None:
        fabric = fabric_of(Failing({}), *named("a1"))
        lagging: tuple[object, ...] = "end of lane", LANE, STREAM
        if delivered:
            fabric.deliver()
            lagging = "state", SUBSCRIPTION, LANE
        waiting = Waiting(fabric)
        with raises_with(FailoverError, "after 7 s", *lagging, f"not in {AWAY}"):
            failover(fabric).drain(waiting, patience_seconds=7)
        assert waiting.seconds == [SETTLE_SECONDS, *[1] * 7]
        resumed = circuit(fabric)
        assert (resumed.state, resumed.rings_owed) == (CircuitState.CLOSED, True)
        assert resumed.since_ms == fabric.clock.now_ms()

    def test_decisions_about_dead_letters_are_waited_for_too(self) -> None:
        fabric = fabric_of(Failing({"a1": 9}), *named("a1"), **retry(immediate=0, attempts=1))
        fabric.deliver()
        dead_letters(fabric).discard(the_dead_letter(fabric))
        fabric.cloud.replicate()
        table = fabric.cloud.regions[AWAY].table(fabric.topology.ledger.name)
        (note,) = (item for item in table.items if item["pk"]["S"].endswith("/settled"))
        table.write("Delete", {"Key": {"pk": note["pk"], "sk": note["sk"]}})
        facts = "after 2 s", "decision about a dead letter", SUBSCRIPTION, LANE, f"not in {AWAY}"
        with raises_with(FailoverError, *facts):
            failover(fabric).drain(Waiting(fabric), patience_seconds=2)
        table.write("Put", {"Item": note})
        failover(fabric).drain(Waiting(fabric))

    def test_whoever_interrupts_it_does_not_leave_the_source_paused(self) -> None:
        fabric = fabric_of(Failing({}), *named("a1"))

        def interrupt() -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            failover(fabric).drain(Waiting(fabric, {1: interrupt}))
        assert circuit(fabric).state is CircuitState.CLOSED

    def test_what_somebody_paused_stays_paused_by_them(self) -> None:
        fabric = SubscribedStream()
        by_hand = Circuit(CircuitState.PAUSED, "by hand", since_ms=5)
        assert fabric.ledger.switch(*NAMES, Circuit(), by_hand)
        failover(fabric).drain(Waiting(fabric))
        assert circuit(fabric) == replace(by_hand, version=1)

    def test_somebody_else_who_switches_meanwhile_is_not_overruled(self) -> None:
        fabric = SubscribedStream()

        def other_is_faster(called: str, overall: int, of_name: int) -> None:
            if called == "ledger.switch":
                fabric.ledger.switch(*NAMES, Circuit(), Circuit(CircuitState.OPEN, "down"))

        with raises_with(FailoverError, SUBSCRIPTION, "circuit"):
            failover(fabric, other_is_faster).drain(Waiting(fabric))
        assert circuit(fabric).reason == "down"

    def test_a_source_that_does_not_answer_cannot_be_drained(self) -> None:
        with pytest.raises(PortError):
            failover(SubscribedStream(), lost).drain(Waiting(SubscribedStream()))


class TestRelease:
    def paused(self) -> SubscribedStream:
        fabric = SubscribedStream()
        moving = failover(fabric)
        moving.drain(Waiting(fabric))
        moving.hand_over()
        return fabric

    def test_the_source_goes_on_once_it_sees_the_handover(self) -> None:
        fabric = self.paused()
        waiting = Waiting(fabric, {2: lambda: fabric.cloud.replicate()})
        failover(fabric).release(waiting)
        assert waiting.seconds == [1, 1]
        assert (circuit(fabric).state, circuit(fabric).rings_owed) == (CircuitState.CLOSED, True)

    def test_one_that_does_not_see_it_stays_paused(self) -> None:
        fabric = self.paused()
        waiting = Waiting(fabric)
        with raises_with(FailoverError, HOME, "handover", SUBSCRIPTION):
            failover(fabric).release(waiting, patience_seconds=3)
        assert waiting.seconds == [1, 1, 1]
        assert circuit(fabric).state is CircuitState.PAUSED

    def test_pauses_of_others_are_left_as_they_are(self) -> None:
        fabric = SubscribedStream()
        for number, reason in enumerate(["by hand", f"failover to {FAR}"]):
            paused = Circuit(CircuitState.PAUSED, reason)
            assert fabric.ledger.switch(*NAMES, circuit(fabric), paused)
            failover(fabric).release(Waiting(fabric))
            assert circuit(fabric) == replace(paused, version=number + 1)


def test_a_planned_handover_repeats_nothing_and_loses_nothing() -> None:
    fabric = fabric_of(Failing({}), *named("a1", "b1"))
    fabric.deliver()
    fabric.put(*named("a2"))
    moving, waiting = failover(fabric), Waiting(fabric, {2: lambda: fabric.cloud.replicate()})
    moving.drain(waiting)
    moving.hand_over()
    fabric.cloud.replicate()
    moving.release(waiting)
    away = fabric.in_region(AWAY)
    away.deliver_all()
    fabric.deliver_all()
    assert (fabric.recorder.ids(), away.recorder.ids()) == (["a1", "b1"], ["a2"])
