"""Failovers: what is handed over, what is reported before, and the order of a planned handover."""

from dataclasses import replace

import pytest

from eventfabric import limits
from eventfabric.definition.file import parse_definition
from eventfabric.errors import FailoverError, PortError
from eventfabric.model.circuit import Circuit, CircuitState
from eventfabric.model.commit import Committed
from eventfabric.model.cursor import START
from eventfabric.model.doorbell import ANY_TAIL, Doorbell
from eventfabric.model.identity import Region, StreamName, SubscriptionName
from eventfabric.model.owner import Owner, Standing
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.services.operations.failover import Failover, Readiness
from eventfabric.testing.memory.faults import Fault, Faults
from eventfabric.topology import Topology
from eventfabric.wire.doorbell import from_body
from tests.support.failing_handlers import FEW, Failing, dead_letters, named, retry, the_dead_letter, world_of
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


def standing(world: SubscribedStream, region: Region) -> Standing:
    return world.cloud.ledger(region).standing(*NAMES)


def circuit(world: SubscribedStream, region: Region = HOME) -> Circuit:
    return standing(world, region).circuit


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
        world = SubscribedStream()
        failover(world).hand_over()
        world.cloud.replicate()
        back = failover(world, source=AWAY, target=HOME)
        assert sorted(owner.origin for _, owner in back.handed()) == sorted([HOME, AWAY])
        assert list(failover(world).handed()) == []

    def test_only_the_targets_own_where_that_is_wanted(self) -> None:
        world = SubscribedStream()
        failover(world).hand_over()
        world.cloud.replicate()
        back = failover(world, source=AWAY, target=HOME, own_only=True)
        assert [owner.origin for _, owner in back.handed()] == [HOME]

    def test_nothing_where_every_region_delivers_for_itself(self) -> None:
        assert list(failover(SubscribedStream(deliver="everywhere")).handed()) == []

    def test_what_only_the_source_knows_of_counts_where_it_answers(self) -> None:
        world = SubscribedStream()
        failover(world, source=AWAY, target=HOME).hand_over()
        assert standing(world, AWAY).owners == ()
        assert {owner.origin for _, owner in failover(world).handed()} == {HOME, AWAY}
        assert [owner.origin for _, owner in failover(world, lost).handed()] == [HOME]


class TestReadiness:
    def test_how_much_waits_and_how_much_is_not_here(self) -> None:
        world = with_load()
        world.put(*named("d1"))
        world.deliver()
        (ready,) = failover(world).readiness()
        assert ready == Readiness(
            world.subscription,
            Owner(HOME, HOME, 0, HOME, since_ms=world.clock.now_ms(), version=1),
            waiting=3,
            retrying=0,
            dead=1,
            behind=1,
            repeated=3,
        )

    def test_keys_that_are_to_be_tried_again(self) -> None:
        world = world_of(Failing({"a1": 9, "b1": 9}), *named("a1", "b1"), **FEW)
        world.deliver()
        world.cloud.replicate()
        (ready,) = failover(world).readiness()
        assert (ready.waiting, ready.retrying, ready.dead) == (0, 2, 0)
        assert (ready.behind, ready.repeated) == (0, 0)

    def test_of_a_source_that_does_not_answer_it_is_not_known_what_it_has(self) -> None:
        (ready,) = failover(with_load(), lost).readiness()
        assert (ready.waiting, ready.dead) == (3, 1)
        assert (ready.behind, ready.repeated) == (None, None)


class TestHandOver:
    def test_the_target_owns_the_lanes_and_all_are_rung_twice(self) -> None:
        world = SubscribedStream()
        now_ms = world.clock.now_ms()
        assert failover(world).hand_over("HOME is lost\ud800") == [
            Owner(HOME, AWAY, 1, AWAY, since_ms=now_ms, reason="HOME is lost\\ud800", version=1)
        ]
        away = world.at(AWAY)
        assert [from_body(body) for body in away.queue.bodies] == [
            Doorbell(NAMES[0], lane(index), ANY_TAIL, again=now_ms) for index in range(2)
        ]
        assert away.timers.next_due_ms() == now_ms + 2000 * limits.CIRCUIT_CACHE_SECONDS
        world.clock.advance(2 * limits.CIRCUIT_CACHE_SECONDS)
        assert [from_body(body) for body in iter(away.timers.take, None)] == [
            Doorbell(NAMES[0], lane(index), ANY_TAIL, again=now_ms + 1) for index in range(2)
        ]

    def test_each_handover_has_a_number_above_all_that_any_lane_knows(self) -> None:
        world = SubscribedStream()
        world.put(event("a"))
        assert epochs(failover(world).hand_over()) == [(HOME, AWAY, 1)]
        world.cloud.replicate()
        world.clock.advance(limits.CIRCUIT_CACHE_SECONDS)
        away = world.at(AWAY)
        away.deliver_all()
        assert away.cursor().epoch == 1
        world.cloud.replicate()
        back = failover(world, source=AWAY, target=HOME, own_only=True)
        assert epochs(back.hand_over()) == [(HOME, HOME, 2)]

    def test_a_lanes_own_number_counts_where_the_item_of_the_handover_is_not_here(self) -> None:
        world = SubscribedStream()
        ledger = world.cloud.ledger(AWAY)
        assert isinstance(ledger.commit(world.key_of(LANE), START, replace(START, epoch=6)), Committed)
        assert epochs(failover(world, lost).hand_over()) == [(HOME, AWAY, 7)]

    def test_two_who_hand_over_at_once_do_not_both(self) -> None:
        world = SubscribedStream()
        known_failover = failover(world)
        ledger = known_failover._ports.ledger

        def other_is_faster(called: str, overall: int, of_name: int) -> None:
            if called == "ledger.hand_over":
                failover(world).hand_over("other")

        known_failover._ports = replace(known_failover._ports, ledger=Faults(other_is_faster).ledger(ledger))
        with raises_with(FailoverError, SUBSCRIPTION, f"lanes of {HOME}", "somebody else"):
            known_failover.hand_over("mine")
        assert [owner.reason for owner in standing(world, AWAY).owners] == ["other"]

    def test_one_that_was_written_since_the_lanes_were_listed_is_not_gone_back_behind(self) -> None:
        world = SubscribedStream()
        slow = failover(world)
        listed = [owner for _, owner in slow.handed()]
        for epoch in (1, 2):
            written = standing(world, AWAY).written(HOME, AWAY)
            other = Owner(HOME, AWAY, epoch, AWAY)
            assert world.cloud.ledger(AWAY).hand_over(*NAMES, written, other)
        slow.handed = lambda: iter([(world.subscription, owner) for owner in listed])  # type: ignore[method-assign]  # as it was
        slow.hand_over()
        latest = standing(world, AWAY).owner(HOME)
        assert latest is not None
        assert latest.epoch == 3


class TestDrain:
    def test_it_stops_the_source_and_waits_until_everything_is_here(self) -> None:
        world = world_of(Failing({}), *named("a1", "b1"))
        world.deliver()
        moving = failover(world)
        seen: list[str] = []
        waiting = Waiting(
            world,
            {
                1: lambda: seen.append(world.deliver().outcome.value),
                3: lambda: world.cloud.replicate(),
            },
        )
        moving.drain(waiting)
        assert waiting.seconds == [SETTLE_SECONDS, 1, 1]
        assert seen == [LaneOutcome.WAITING.value]
        paused = circuit(world)
        assert (paused.state, paused.reason) == (CircuitState.PAUSED, f"failover to {AWAY}")
        assert paused.since_ms == world.clock.now_ms() - round(1000 * (SETTLE_SECONDS + 2))
        assert [owner.epoch for owner in standing(world, AWAY).owners] == [0]

    @pytest.mark.parametrize("delivered", [True, False])
    def test_it_gives_up_where_that_does_not_come_and_the_source_goes_on(self, delivered: bool) -> None:
        world = world_of(Failing({}), *named("a1"))
        lagging: tuple[object, ...] = "end of lane", LANE, STREAM
        if delivered:
            world.deliver()
            lagging = "state", SUBSCRIPTION, LANE
        waiting = Waiting(world)
        with raises_with(FailoverError, "after 7 s", *lagging, f"not in {AWAY}"):
            failover(world).drain(waiting, patience_seconds=7)
        assert waiting.seconds == [SETTLE_SECONDS, *[1] * 7]
        resumed = circuit(world)
        assert (resumed.state, resumed.rings_owed) == (CircuitState.CLOSED, True)
        assert resumed.since_ms == world.clock.now_ms()

    def test_decisions_about_dead_letters_are_waited_for_too(self) -> None:
        world = world_of(Failing({"a1": 9}), *named("a1"), **retry(immediate=0, attempts=1))
        world.deliver()
        dead_letters(world).discard(the_dead_letter(world))
        world.cloud.replicate()
        table = world.cloud.regions[AWAY].table(world.topology.ledger.name)
        (note,) = (one for one in table.items if one["pk"]["S"].endswith("/settled"))
        table.write("Delete", {"Key": {"pk": note["pk"], "sk": note["sk"]}})
        facts = "after 2 s", "decision about a dead letter", SUBSCRIPTION, LANE, f"not in {AWAY}"
        with raises_with(FailoverError, *facts):
            failover(world).drain(Waiting(world), patience_seconds=2)
        table.write("Put", {"Item": note})
        failover(world).drain(Waiting(world))

    def test_whoever_interrupts_it_does_not_leave_the_source_paused(self) -> None:
        world = world_of(Failing({}), *named("a1"))

        def interrupt() -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            failover(world).drain(Waiting(world, {1: interrupt}))
        assert circuit(world).state is CircuitState.CLOSED

    def test_what_somebody_paused_stays_paused_by_them(self) -> None:
        world = SubscribedStream()
        by_hand = Circuit(CircuitState.PAUSED, "by hand", since_ms=5)
        assert world.ledger.switch(*NAMES, Circuit(), by_hand)
        failover(world).drain(Waiting(world))
        assert circuit(world) == replace(by_hand, version=1)

    def test_somebody_else_who_switches_meanwhile_is_not_overruled(self) -> None:
        world = SubscribedStream()

        def other_is_faster(called: str, overall: int, of_name: int) -> None:
            if called == "ledger.switch":
                world.ledger.switch(*NAMES, Circuit(), Circuit(CircuitState.OPEN, "down"))

        with raises_with(FailoverError, SUBSCRIPTION, "circuit"):
            failover(world, other_is_faster).drain(Waiting(world))
        assert circuit(world).reason == "down"

    def test_a_source_that_does_not_answer_cannot_be_drained(self) -> None:
        with pytest.raises(PortError):
            failover(SubscribedStream(), lost).drain(Waiting(SubscribedStream()))


class TestRelease:
    def paused(self) -> SubscribedStream:
        world = SubscribedStream()
        moving = failover(world)
        moving.drain(Waiting(world))
        moving.hand_over()
        return world

    def test_the_source_goes_on_once_it_sees_the_handover(self) -> None:
        world = self.paused()
        waiting = Waiting(world, {2: lambda: world.cloud.replicate()})
        failover(world).release(waiting)
        assert waiting.seconds == [1, 1]
        assert (circuit(world).state, circuit(world).rings_owed) == (CircuitState.CLOSED, True)

    def test_one_that_does_not_see_it_stays_paused(self) -> None:
        world = self.paused()
        waiting = Waiting(world)
        with raises_with(FailoverError, HOME, "handover", SUBSCRIPTION):
            failover(world).release(waiting, patience_seconds=3)
        assert waiting.seconds == [1, 1, 1]
        assert circuit(world).state is CircuitState.PAUSED

    def test_pauses_of_others_are_left_as_they_are(self) -> None:
        world = SubscribedStream()
        for number, reason in enumerate(["by hand", f"failover to {FAR}"]):
            paused = Circuit(CircuitState.PAUSED, reason)
            assert world.ledger.switch(*NAMES, circuit(world), paused)
            failover(world).release(Waiting(world))
            assert circuit(world) == replace(paused, version=number + 1)


def test_a_planned_handover_repeats_nothing_and_loses_nothing() -> None:
    world = world_of(Failing({}), *named("a1", "b1"))
    world.deliver()
    world.put(*named("a2"))
    moving, waiting = failover(world), Waiting(world, {2: lambda: world.cloud.replicate()})
    moving.drain(waiting)
    moving.hand_over()
    world.cloud.replicate()
    moving.release(waiting)
    away = world.at(AWAY)
    away.deliver_all()
    world.deliver_all()
    assert (world.recorder.ids(), away.recorder.ids()) == (["a1", "b1"], ["a2"])
