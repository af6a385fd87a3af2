"""Handlers that publish: when, under which ids, and how often it stands in the other stream."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from eventfabric import Delivery, Event
from eventfabric.errors import PortError, ReplayRefusedError
from eventfabric.model import Chain, Lane, SequenceNumber
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.faults import Fault, Faults, nth
from tests.support.dead_letters import letters_of
from tests.support.failing_handlers import retry
from tests.support.memory_fabric import event
from tests.support.publishing_stream import INVOICES, PublishingStream, bill, bill_and_count
from tests.support.replays import replay

TIME = "2026-11-01T00:00:00Z"


def transactional() -> PublishingStream:
    return PublishingStream(bill_and_count, guarantee="exactly_once")


def lane_of(fabric: PublishingStream) -> Lane:
    """Return the lane of the target stream in which the only invoices stand."""
    (of,) = {record.lane for record in fabric.target_records()}
    return of


def before_commit(number: int, then: Callable[[], object]) -> Faults:
    """Something that happens just before that commit is sent."""

    def rule(called: str, overall: int, of_name: int) -> Fault | None:
        if (called, of_name) == ("ledger.commit", number):
            then()
        return None

    return Faults(rule)


@pytest.mark.parametrize("guarantee", ["at_most_once", "at_least_once", "exactly_once"])
def test_what_a_handler_publishes_stands_in_the_other_stream_in_order(guarantee: str) -> None:
    fabric = PublishingStream(bill, guarantee=guarantee)
    for name in ("a", "b", "c"):
        fabric.put(event(name))
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert fabric.invoiced() == ["a", "b", "c"]
    assert len({invoice.id for invoice in fabric.invoices()}) == 3
    assert [invoice.headers["fabrichops"] for invoice in fabric.invoices()] == [1, 1, 1]
    assert {invoice.source for invoice in fabric.invoices()} == {"/shop/invoices"}
    assert fabric.telemetry.totals[Metric.EVENTS_PUBLISHED] == 3


def test_a_groups_events_of_one_lane_are_one_record_in_one_transaction() -> None:
    fabric = transactional()
    for name in ("a", "b", "c"):
        fabric.put(event(name, key=name))
    fabric.handle = lambda event, delivery: delivery.publish(
        INVOICES, key="all", type="Billed", data={"of": event.id}
    )
    fabric.deliver()
    (record,) = fabric.target_records()
    assert record.count == 3
    assert fabric.cursor().sequence == 3


def test_a_group_has_at_most_two_target_lanes() -> None:
    fabric = transactional()
    keys = [f"key {number}" for number in range(12)]
    for key in keys:
        fabric.put(event(key, key=key))
    faults = Faults()
    fabric.deliver(by=fabric.deliverer(faults=faults))
    assert sorted(fabric.invoiced()) == sorted(keys)
    assert len({record.lane for record in fabric.target_records()}) > 2
    assert faults.count("ledger.commit") > 1
    assert fabric.effects() == dict.fromkeys(keys, 1)


def test_one_event_may_publish_into_more_lanes_than_a_group_may() -> None:
    def spread(event: Event, delivery: Delivery) -> None:
        for number in range(12):
            delivery.publish(INVOICES, key=f"key {number}", type="Billed", data={"of": number})

    fabric = PublishingStream(spread, guarantee="exactly_once")
    fabric.put(event("a"))
    fabric.deliver()
    assert sorted(fabric.invoiced()) == list(range(12))  # type: ignore[comparison-overlap]  # numbers here
    assert len(fabric.target_records()) > 2


@pytest.mark.parametrize("times", [1, 2, 5])
def test_a_lost_tail_costs_neither_an_attempt_nor_a_second_call(times: int) -> None:
    fabric = transactional()
    fabric.put(event("a"))
    fabric.deliver()
    of = lane_of(fabric)
    fabric.put(event("b"))
    faults = Faults(
        *(before_commit(number, lambda: fabric.overtake(of)).rules[0] for number in range(1, times + 1))
    )
    fabric.deliver(by=fabric.deliverer(faults=faults))
    assert fabric.calls == ["a", "b"]
    assert fabric.invoiced() == ["a", "b"]
    assert fabric.effects() == {"a": 1, "b": 1}
    assert not fabric.parked()
    assert Metric.EVENTS_FAILED not in fabric.telemetry.totals


@pytest.mark.parametrize("fault", [Fault.LOST_REPLY, Fault.LOST_REQUEST, Fault.THROTTLED])
@pytest.mark.parametrize("overtaken", [False, True])
def test_a_commit_without_a_reply_is_carried_out_once(fault: Fault, overtaken: bool) -> None:
    fabric = transactional()
    fabric.put(event("a"))
    fabric.deliver()
    of = lane_of(fabric)
    fabric.put(event("b"))
    faults = before_commit(2, lambda: fabric.overtake(of) if overtaken else None)
    faults.rules.append(nth(1, fault, name="ledger.commit"))
    fabric.deliver(by=fabric.deliverer(faults=faults))
    assert fabric.calls == ["a", "b"]
    assert fabric.invoiced() == ["a", "b"]
    assert fabric.effects() == {"a": 1, "b": 1}


def test_a_race_for_the_cursor_publishes_once() -> None:
    fabric = transactional()
    fabric.put(event("a"))
    faults = before_commit(1, lambda: fabric.deliver(by=fabric.deliverer(faults=Faults())))
    fabric.deliver(by=fabric.deliverer(faults=faults))
    assert fabric.invoiced() == ["a"]
    assert fabric.effects() == {"a": 1}


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_nothing_is_published_by_a_handler_that_raises(guarantee: str) -> None:
    failing = [True]

    def fails_once(event: Event, delivery: Delivery) -> None:
        bill(event, delivery)
        if failing.pop():
            failing.append(False)
            raise ValueError

    fabric = PublishingStream(fails_once, guarantee=guarantee)
    fabric.put(event("a"))
    fabric.deliver()
    assert fabric.calls == ["a", "a"]
    assert fabric.invoiced() == ["a"]


def test_at_least_once_a_repeat_has_the_same_id_and_once_drops_it() -> None:
    for once, expected in ((False, 2), (True, 1)):

        def bill_once(event: Event, delivery: Delivery, once: bool = once) -> None:
            delivery.publish(INVOICES, key="k", type="Billed", data={"of": event.id}, once=once)

        fabric = PublishingStream(bill_once)
        fabric.put(event("a"))
        denied = Faults(
            lambda called, overall, of_name: Fault.LOST_REQUEST if called == "ledger.commit" else None
        )
        with pytest.raises(PortError):
            fabric.deliver(by=fabric.deliverer(faults=denied))
        fabric.deliver()
        assert fabric.calls == ["a", "a"]
        assert fabric.invoiced() == ["a"] * expected
        assert len({invoice.id for invoice in fabric.invoices()}) == 1


def test_another_content_under_an_id_that_was_published_once_is_a_dead_letter() -> None:
    calls: list[int] = []

    def bill_differently(event: Event, delivery: Delivery) -> None:
        calls.append(1)
        delivery.publish(INVOICES, key="k", type="Billed", data={"of": len(calls)}, once=True)

    fabric = PublishingStream(bill_differently)
    fabric.put(event("a"))
    denied = Faults(
        lambda called, overall, of_name: Fault.LOST_REQUEST if called == "ledger.commit" else None
    )
    with pytest.raises(PortError):
        fabric.deliver(by=fabric.deliverer(faults=denied))
    fabric.deliver()
    assert len(fabric.invoices()) == 1
    failure = fabric.parked()["k"].failure
    assert failure.error_type == "eventfabric.errors:OnceConflictError"
    assert fabric.parked()["k"].state == "dead"


def test_at_most_once_what_cannot_be_appended_is_lost_and_counted() -> None:
    fabric = PublishingStream(bill, guarantee="at_most_once")
    fabric.put(event("a"))
    silent = Faults(lambda called, overall, of_name: Fault.LOST_REQUEST if called == "log.append" else None)
    fabric.deliver(by=fabric.deliverer(faults=silent))
    fabric.deliver()
    assert fabric.calls == ["a"]
    assert fabric.invoices() == []
    assert fabric.telemetry.totals[Metric.EVENTS_UNPUBLISHED] == 1


@pytest.mark.parametrize("wrong", [{"stream": "orders"}, {"stream": "nowhere"}])
def test_a_stream_that_is_not_listed_is_refused_by_name(wrong: dict[str, str]) -> None:
    def elsewhere(event: Event, delivery: Delivery) -> None:
        delivery.publish(wrong["stream"], key="k", type="Billed")

    fabric = PublishingStream(elsewhere, guarantee="exactly_once")
    fabric.put(event("a"))
    fabric.deliver()
    parked = fabric.parked()["k"]
    assert parked.failure.error_type == "eventfabric.errors:UnlistedStreamError"
    assert (parked.state, fabric.calls) == ("dead", ["a"])


def test_hop_16_is_a_dead_letter() -> None:
    fabric = PublishingStream(bill, guarantee="exactly_once")
    for hops in (14, 15):
        headers = {"fabrichops": hops}
        fabric.put(Event(id=str(hops), key=str(hops), type="t", source="/s", time=TIME, headers=headers))
    fabric.deliver()
    assert [invoice.headers["fabrichops"] for invoice in fabric.invoices()] == [15]
    assert fabric.parked()["15"].failure.error_type == "eventfabric.errors:TooManyHopsError"


def test_too_much_for_one_commit_is_refused_before_it_is_sent() -> None:
    def too_much(event: Event, delivery: Delivery) -> None:
        for number in range(20):
            delivery.publish(INVOICES, key=f"{number}", type="Billed", data=b"x" * 230_000)

    fabric = PublishingStream(too_much, guarantee="exactly_once")
    fabric.put(event("a"))
    faults = Faults()
    fabric.deliver(by=fabric.deliverer(faults=faults))
    failure = fabric.parked()["k"].failure
    assert failure.error_type == "eventfabric.errors:TransactionTooLargeError"
    assert fabric.invoices() == []


def test_names_and_numbers_make_ids_and_a_name_is_given_once() -> None:
    ids: dict[str, Any] = {}

    def publish(event: Event, delivery: Delivery) -> None:
        ids["numbered"] = [delivery.publish(INVOICES, key="k", type="t") for _ in range(2)]
        ids["named"] = [delivery.publish(INVOICES, key="k", type="t", name=name) for name in ("0", "a")]
        ids["own"] = delivery.publish(INVOICES, key="k", type="t", id="my own")
        with pytest.raises(Exception, match="again") as raised:
            delivery.publish(INVOICES, key="k", type="t", name="a")
        ids["raised"] = type(raised.value).__name__

    fabric = PublishingStream(publish)
    fabric.put(event("a"))
    fabric.deliver()
    every = [*ids["numbered"], *ids["named"], ids["own"]]
    assert len(set(every)) == 5
    assert (ids["own"], ids["raised"]) == ("my own", "HandlerError")
    assert [invoice.id for invoice in fabric.invoices()] == every


def test_a_tail_that_cannot_be_won_in_time_rings_again_and_counts_nothing() -> None:
    fabric = transactional()
    fabric.put(event("a"))
    fabric.deliver()
    of = lane_of(fabric)
    fabric.put(event("b"))

    def overtake_each(called: str, overall: int, of_name: int) -> Fault | None:
        if called == "ledger.commit":
            fabric.overtake(of)
        return None

    faults = Faults(overtake_each)
    with pytest.raises(PortError):
        fabric.deliver(by=fabric.deliverer(faults=faults))
    assert not fabric.parked()
    fabric.deliver()
    assert fabric.invoiced() == ["a", "b"]
    assert fabric.cursor().sequence == 2
    assert fabric.cursor().crashes == 0


def test_a_replay_publishes_nothing_again() -> None:
    fabric = transactional()
    for name in ("a", "b"):
        fabric.put(event(name))
    fabric.deliver()
    replay(fabric, 0)
    fabric.deliver()
    assert fabric.calls == ["a", "b", "a", "b"]
    assert fabric.invoiced() == ["a", "b"]
    assert fabric.effects() == {"a": 2, "b": 2}
    assert fabric.telemetry.totals[Metric.EVENTS_NOT_REPUBLISHED] == 2


def failing_at(*names: str) -> tuple[PublishingStream, set[str]]:
    """Return a stream whose handler fails at these events, for as long as they are in the set."""
    failing = set(names)

    def fails(event: Event, delivery: Delivery) -> None:
        bill_and_count(event, delivery)
        if event.id in failing:
            raise ValueError

    return PublishingStream(fails, guarantee="exactly_once", **retry(attempts=1)), failing


def test_a_replay_that_would_pass_over_what_waits_is_refused() -> None:
    fabric, failing = failing_at("b")
    for name in ("a", "b", "c"):
        fabric.put(event(name))
    fabric.deliver()
    with pytest.raises(ReplayRefusedError, match="would not be published"):
        replay(fabric, 0)
    failing.clear()
    for letter in letters_of(fabric, Faults()).find():
        letters_of(fabric, Faults()).redrive(letter)
    fabric.deliver_all()
    assert fabric.invoiced() == ["a", "b", "c"]
    replay(fabric, 0)
    fabric.deliver_all()
    assert fabric.invoiced() == ["a", "b", "c"]


def test_a_redriven_event_publishes_under_the_same_id_and_an_edited_one_under_another() -> None:
    ids: dict[str, list[str]] = {"same": [], "edited": []}
    failing = {"same", "edited"}

    def notes(event: Event, delivery: Delivery) -> None:
        ids[str(event.id)].append(
            delivery.publish(INVOICES, key=event.key, type="Billed", data={"of": event.id})
        )
        if event.id in failing:
            raise ValueError

    fabric = PublishingStream(notes, guarantee="exactly_once", **retry(attempts=1))
    fabric.put(event("same", key="k1"))
    fabric.put(event("edited", key="k2"))
    fabric.deliver()
    failing.clear()
    letters = letters_of(fabric, Faults())
    for letter in list(letters.find()):
        edited = (
            Event(key="k2", type="placed", data={"name": "mended"}) if letter.parked.key == "k2" else None
        )
        letters.redrive(letter, replacement=edited)
    fabric.deliver_all()
    assert len(fabric.invoices()) == 2
    assert ids["same"][0] == ids["same"][-1]
    assert ids["edited"][0] != ids["edited"][-1]


def test_after_a_lost_reply_the_next_record_continues_the_one_that_landed() -> None:
    fabric = transactional()
    deliverer = fabric.deliverer(faults=Faults(nth(2, Fault.LOST_REPLY, name="ledger.commit")))
    for name in ("a", "b", "c"):
        fabric.put(event(name))
        # The try after the lost reply holds other records than the one that landed.
        fabric.deliver(by=deliverer)
        fabric.clock.advance(1)
    assert fabric.invoiced() == ["a", "b", "c"]
    records = fabric.target_records()
    assert [record.sequence for record in records] == [0, 1, 2]
    assert all(after.extends(before.chain) for before, after in pairwise(records))
    assert fabric.calls == ["a", "b", "c"]


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_a_target_lane_in_doubt_is_no_failure_of_the_event(guarantee: str) -> None:
    fabric = PublishingStream(bill, guarantee=guarantee)
    fabric.put(event("a"))
    fabric.deliver()
    (record,) = fabric.target_records()
    log = fabric.cloud.log(INVOICES, fabric.region)
    far = replace(record, sequence=SequenceNumber(99), chain=Chain(bytes(16)))
    assert log.append(far) is None
    fabric.put(event("b"))
    with pytest.raises(PortError, match="publish: record 99"):
        fabric.deliver()
    assert not fabric.parked()
    assert (fabric.cursor().sequence, fabric.cursor().crashes) == (1, 0)
    assert fabric.telemetry.totals[Metric.DELIVERIES_BLOCKED] == 1
