"""Grants to producers: when a lane's run writes them, and that none is lost."""

from dataclasses import replace
from typing import Any

import pytest

from eventfabric import limits
from eventfabric.definition.sections import Backpressure, WhilePaused
from eventfabric.errors import LastingError, PortError
from eventfabric.model import ANY_TAIL, Committed, SequenceNumber
from eventfabric.services.delivery.breaker import CircuitBreaker
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.faults import Fault, Faults, SimulatedCrash, nth
from eventfabric.wire.keys import credit_key
from tests.support.expiry import DAY_SECONDS, DAYS, expire
from tests.support.granted import account, slot
from tests.support.handovers import hand_over
from tests.support.memory_fabric import AWAY, HOME, LANE, event
from tests.support.subscribed_stream import INVOCATION_MS, LANE_KEY, SubscribedStream

EVENTS_MIN = 16
GATE = Backpressure(seconds=10, events_min=EVENTS_MIN)


def gated(backpressure: Backpressure | None = GATE, **settings: Any) -> SubscribedStream:
    """A stream whose subscription takes a tenth of a second for an event."""
    fabric = SubscribedStream(backpressure=backpressure, **settings)
    fabric.recorder.before = lambda events: fabric.clock.advance(0.1)
    return fabric


def put(fabric: SubscribedStream, count: int, *, name: str = "e") -> None:
    fabric.put(*(event(f"{name}{number}", key=str(number)) for number in range(count)))


def come_again(
    fabric: SubscribedStream, *, faults: Faults | None = None, tail: int | None = None
) -> LaneOutcome:
    """Run the lane for a doorbell that was received before."""
    bell, deadline_ms = fabric.bell(tail=tail), fabric.clock.now_ms() + INVOCATION_MS
    return fabric.deliverer(faults=faults).deliver(bell, deadline_ms=deadline_ms, receive_count=2).outcome


def operator_of(fabric: SubscribedStream) -> CircuitBreaker:
    """Who pauses and resumes the subscription."""
    return CircuitBreaker(
        fabric.subscription, fabric.stream, ports=fabric.ports(), telemetry=fabric.telemetry
    )


class TestARun:
    def test_the_first_of_a_lane_grants_from_its_tail_before_it_hands_anything_out(self) -> None:
        fabric = gated()
        put(fabric, 40)
        seen = list[int | None]()
        fabric.recorder.before = lambda events: seen.append(slot(fabric))
        fabric.deliver()
        assert seen[0] == 40 + EVENTS_MIN

    @pytest.mark.parametrize("tail", [0, ANY_TAIL])
    def test_a_doorbell_that_does_not_tell_the_tail_has_it_read(self, tail: int) -> None:
        fabric = gated()
        put(fabric, 40)
        faults = Faults(nth(1, Fault.CRASH_AFTER, name="credits.grant"))
        with pytest.raises(SimulatedCrash):
            fabric.deliver(tail=tail, by=fabric.deliverer(faults=faults))
        assert slot(fabric) == 40 + EVENTS_MIN

    def test_grants_what_it_drained_for_the_time_that_is_set(self) -> None:
        fabric = gated()
        for number in range(60):
            put(fabric, 10, name=f"{number}-")
            fabric.deliver()
        rate = account(fabric).rate
        assert 8 < rate < 10
        assert 600 + 0.7 * 10 * rate < account(fabric).granted <= 600 + 10 * 10
        assert slot(fabric) == account(fabric).granted

    def test_writes_no_grant_for_each_few_events(self) -> None:
        fabric = gated()
        fabric.put(event("a"))
        fabric.deliver()
        for name in "bcd":
            fabric.put(event(name))
            fabric.deliver()
        assert fabric.faults.count("credits.grant") == 1
        fabric.put(event("e"))
        fabric.deliver()
        assert fabric.faults.count("credits.grant") == 2
        assert slot(fabric) == account(fabric).granted == 5 + EVENTS_MIN
        assert fabric.telemetry.totals[Metric.CREDITS_RAISED] == 2

    def test_a_commit_that_is_lost_grants_nothing(self) -> None:
        fabric = gated()
        put(fabric, 40)
        fabric.deliver(tail=40, time_ms=1)
        before = slot(fabric)

        def interrupt(events: object) -> None:
            cursor = fabric.cursor()
            fabric.recorder.before = lambda events: None
            assert isinstance(fabric.ledger.commit(LANE_KEY, cursor, cursor), Committed)
            assert slot(fabric) == before

        fabric.recorder.before = interrupt
        assert fabric.deliver().outcome is LaneOutcome.DELIVERED
        assert fabric.telemetry.totals[Metric.COMMITS_LOST] == 1
        assert slot(fabric) == account(fabric).granted

    def test_goes_on_from_what_a_person_granted(self) -> None:
        fabric = gated()
        put(fabric, 40)
        fabric.deliver()
        fabric.ports().credits.grant(LANE_KEY, SequenceNumber(500))
        put(fabric, 40, name="f")
        fabric.deliver()
        assert slot(fabric) == account(fabric).granted == 500

    def test_goes_on_where_the_slot_cannot_be_read(self) -> None:
        fabric = gated()
        put(fabric, 40)
        item = {**credit_key(LANE_KEY, HOME), str(LANE.index): {"S": "?"}}
        ledger = fabric.cloud.regions[HOME].table(fabric.topology.ledger_of(LANE_KEY.stream).name)
        ledger.write("Put", {"Item": item})
        assert fabric.deliver().outcome is LaneOutcome.DELIVERED

    def test_what_expired_counts_as_drained_by_nobody(self) -> None:
        fabric = gated(retention_days=DAYS, on_expired="skip")
        fabric.put(event("first"))
        fabric.deliver()
        put(fabric, 400)
        fabric.clock.advance((DAYS + 2) * DAY_SECONDS)
        fabric.put(event("last"))
        expire(fabric)
        fabric.deliver()
        assert fabric.cursor().sequence == 402
        assert account(fabric).best < 1
        assert account(fabric).granted == 401 + EVENTS_MIN


class TestADoorbellThatComesAgain:
    """Its run copies first what the account says: the one before may have died before its copy."""

    @pytest.mark.parametrize("tail", [None, 0])
    def test_what_was_committed_is_copied_whether_there_is_anything_to_deliver_or_not(
        self, tail: int | None
    ) -> None:
        fabric = gated()
        put(fabric, 40)
        faults = Faults(nth(2, Fault.CRASH_BEFORE, name="credits.grant"))
        with pytest.raises(SimulatedCrash):
            fabric.deliver(by=fabric.deliverer(faults=faults))
        assert slot(fabric) == 40 + EVENTS_MIN < account(fabric).granted
        come_again(fabric, tail=tail)
        assert slot(fabric) == account(fabric).granted

    def test_a_ring_for_the_same_tail_copies_too(self) -> None:
        fabric = gated()
        put(fabric, 40)
        fabric.deliver()
        copied = fabric.faults.count("credits.grant")
        assert fabric.deliver().outcome is LaneOutcome.DUPLICATE
        assert fabric.faults.count("credits.grant") == copied
        again = replace(fabric.bell(), again=7)
        assert fabric.deliverer().deliver(again, deadline_ms=INVOCATION_MS).outcome is LaneOutcome.DUPLICATE
        assert fabric.faults.count("credits.grant") == copied + 1

    def test_more_is_granted_where_nothing_waits_and_committed_before_it_is_copied(self) -> None:
        fabric = gated()
        put(fabric, 40)
        fabric.deliver()
        put(fabric, account(fabric).granted - 40, name="f")
        cursor, tail = fabric.cursor(), fabric.log.tail(LANE)
        moved = replace(cursor, sequence=tail.sequence, base=tail.sequence, chain=tail.chain)
        assert isinstance(fabric.ledger.commit(LANE_KEY, cursor, moved), Committed)
        with pytest.raises(SimulatedCrash):
            come_again(fabric, faults=Faults(nth(2, Fault.CRASH_BEFORE, name="credits.grant")))
        assert slot(fabric) == tail.sequence < account(fabric).granted
        come_again(fabric)
        assert slot(fabric) == account(fabric).granted >= tail.sequence + EVENTS_MIN

    def test_nothing_is_committed_where_no_more_is_granted(self) -> None:
        fabric = gated()
        put(fabric, 40)
        fabric.deliver()
        before = fabric.cursor()
        fabric.deliverer().deliver(
            replace(fabric.bell(), again=7), deadline_ms=fabric.clock.now_ms() + INVOCATION_MS
        )
        assert fabric.cursor().version == before.version

    def test_nothing_is_handed_out_while_that_cannot_be_copied(self) -> None:
        fabric = gated()
        put(fabric, 40)
        faults = Faults(nth(1, Fault.DENIED, name="credits.grant"))
        with pytest.raises(LastingError):
            come_again(fabric, faults=faults)
        assert fabric.recorder.ids() == []


class TestACopyThatFails:
    def test_is_made_up_for_at_the_end_of_the_run(self) -> None:
        fabric = gated()
        put(fabric, 40)
        faults = Faults(*(nth(number, Fault.THROTTLED, name="credits.grant") for number in (2, 3)))
        assert fabric.deliver(by=fabric.deliverer(faults=faults)).outcome is LaneOutcome.DELIVERED
        assert slot(fabric) == account(fabric).granted
        assert faults.count("credits.grant") == 4

    def test_has_the_doorbell_come_again_and_the_events_count_as_handled(self) -> None:
        fabric = gated()
        put(fabric, 40)
        faults = Faults(*(nth(number, Fault.DENIED, name="credits.grant") for number in (2, 3)))
        with pytest.raises(PortError):
            fabric.deliver(by=fabric.deliverer(faults=faults))
        assert fabric.telemetry.totals[Metric.EVENTS_HANDLED] == 40
        assert fabric.cursor().sequence == 40


class TestAPause:
    def test_grants_from_the_tail_without_a_commit(self) -> None:
        fabric = gated()
        put(fabric, 40)
        fabric.deliver()
        operator_of(fabric).pause("maintenance")
        before = fabric.cursor()
        put(fabric, 200, name="f")
        assert fabric.deliver().outcome is LaneOutcome.WAITING
        granted = slot(fabric)
        assert granted is not None
        assert granted >= 240 + EVENTS_MIN
        assert fabric.cursor() == before

    def test_a_process_writes_only_what_is_worth_it(self) -> None:
        fabric = gated()
        put(fabric, 40)
        fabric.deliver()
        operator_of(fabric).pause("maintenance")
        deliverer, before = fabric.deliverer(), fabric.faults.count("credits.grant")
        for name in "abcde":
            fabric.deliver(by=deliverer)
            fabric.put(event(name))
        assert fabric.faults.count("credits.grant") == before + 1

    def test_a_grant_whose_copy_was_lost_before_it_is_copied(self) -> None:
        fabric = gated()
        put(fabric, 40)
        faults = Faults(nth(2, Fault.CRASH_BEFORE, name="credits.grant"))
        with pytest.raises(SimulatedCrash):
            fabric.deliver(by=fabric.deliverer(faults=faults))
        operator_of(fabric).pause("maintenance")
        fabric.deliver()
        assert slot(fabric) == account(fabric).granted

    def test_a_lane_whose_first_grant_was_not_committed_is_granted_more(self) -> None:
        fabric = gated()
        put(fabric, 40)
        faults = Faults(nth(1, Fault.CRASH_AFTER, name="credits.grant"))
        with pytest.raises(SimulatedCrash):
            fabric.deliver(by=fabric.deliverer(faults=faults))
        operator_of(fabric).pause("maintenance")
        put(fabric, 40, name="f")
        fabric.deliver(tail=ANY_TAIL)
        assert slot(fabric) == 80 + EVENTS_MIN

    def test_a_lane_that_gates_nothing_yet_gates_nothing_now(self) -> None:
        fabric = gated()
        put(fabric, 40)
        operator_of(fabric).pause("maintenance")
        fabric.deliver()
        assert slot(fabric) is None

    def test_that_holds_grants_nothing(self) -> None:
        fabric = gated(Backpressure(while_paused=WhilePaused.HOLD))
        put(fabric, 40)
        fabric.deliver()
        operator_of(fabric).pause("maintenance")
        before = slot(fabric)
        put(fabric, 400, name="f")
        fabric.deliver()
        assert slot(fabric) == before

    def test_in_the_middle_of_a_run_grants_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "PAGE_RECORDS_MAX", 1)
        fabric = gated()
        put(fabric, 2)
        put(fabric, 400, name="f")

        def pause(events: object) -> None:
            fabric.recorder.before = lambda events: None
            fabric.clock.advance(limits.CIRCUIT_CACHE_SECONDS)
            operator_of(fabric).pause("maintenance")

        fabric.recorder.before = pause
        assert fabric.deliver().outcome is LaneOutcome.WAITING
        granted = slot(fabric)
        assert granted is not None
        assert granted >= 402 + EVENTS_MIN

    def test_once_it_is_over_the_lane_goes_on_from_what_was_granted(self) -> None:
        fabric = gated()
        put(fabric, 40)
        fabric.deliver()
        operator_of(fabric).pause("maintenance")
        put(fabric, 400, name="f")
        fabric.deliver()
        granted = slot(fabric)
        operator_of(fabric).resume()
        fabric.deliver_all()
        assert granted is not None
        assert slot(fabric) == account(fabric).granted
        assert account(fabric).granted > granted


class TestOtherRegions:
    def test_a_new_owner_copies_the_former_ones_account_into_its_own_item(self) -> None:
        fabric = gated()
        put(fabric, 40)
        fabric.deliver()
        granted = slot(fabric)
        fabric.cloud.replicate()
        away = fabric.in_region(AWAY)
        hand_over(away)
        away.deliver()
        assert slot(away) == granted

    def test_without_one_owner_each_grants_for_itself(self) -> None:
        fabric = gated(deliver="everywhere")
        put(fabric, 40)
        fabric.cloud.replicate()
        away = fabric.in_region(AWAY)
        away.recorder.before = lambda events: fabric.clock.advance(0.1)
        away.deliver()
        assert slot(fabric) is None
        assert slot(away) == account(away).granted

    def test_a_state_that_all_share_is_granted_where_it_is_delivered(self) -> None:
        fabric = gated(durability="quorum", delivered_in=AWAY)
        put(fabric, 40)
        hand_over(fabric)
        fabric.deliver()
        assert slot(fabric) is not None


def test_a_subscription_that_holds_nobody_back_keeps_no_account_and_writes_none() -> None:
    fabric = gated()
    put(fabric, 40)
    fabric.deliver()
    fabric.backpressure = None
    written = fabric.faults.count("credits.grant")
    put(fabric, 40, name="f")
    fabric.deliver()
    assert fabric.cursor().credit is None
    assert fabric.faults.count("credits.grant") == written
