"""Somebody's own handlers that publish, under faults: what they publish counts as an effect."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from eventfabric import Delivery, Event, subscriber
from eventfabric.definition.file import parse_definition
from eventfabric.testing.idempotency.trials import HandlerTrials

SEEDS = 15
EVENTS = [
    Event(id=f"s{number}", key=f"k{number % 5}", type="placed", data={"n": number}) for number in range(20)
]


def trials(handler: Callable[..., Any], guarantee: str) -> HandlerTrials:
    definition = parse_definition(f"""
        [fabric]
        name = "own"
        regions = ["us-east-1"]
        [streams.orders]
        durability = "regional"
        [streams.invoices]
        durability = "regional"
        [subscriptions.taker]
        stream = "orders"
        handler = "nowhere:function"
        guarantee = "{guarantee}"
        publishes = ["invoices"]
    """)
    return HandlerTrials(definition, events=EVENTS, handlers={"taker": handler})


def found_by(of: HandlerTrials, *, seeds: int = SEEDS) -> set[str]:
    """The effects that differ in these seeds."""
    outcomes = [of.try_seed(seed) for seed in range(seeds)]
    assert [outcome.error for outcome in outcomes if outcome.error] == []
    assert any(outcome.tally.happenings.get("attempt repeated: taker") for outcome in outcomes)
    return set().union(*(outcome.signature for outcome in outcomes))


@subscriber
def bills(event: Event, delivery: Delivery) -> None:
    delivery.publish("invoices", key=event.key, type="Billed", data={"n": event.data["n"]})


_seen: set[str] = set()


@subscriber
def bills_anew(event: Event, delivery: Delivery) -> None:
    """Publish another kind of invoice at each later attempt."""
    kind = "again" if event.id in _seen else "first"
    _seen.add(str(event.id))
    delivery.publish("invoices", key=event.key, type="Billed", data={"kind": kind})


@subscriber
def bills_under_an_id_of_its_own(event: Event, delivery: Delivery) -> None:
    """Publish under an id that is another at each attempt."""
    delivery.publish("invoices", key=event.key, type="Billed", data={"n": 1}, id=str(uuid.uuid4()))


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_who_publishes_the_same_each_time_is_not_blamed(guarantee: str) -> None:
    assert found_by(trials(bills, guarantee)) == set()


def test_who_publishes_something_else_at_a_repetition_is_named() -> None:
    assert "taker: eventfabric invoices: data.kind" in found_by(trials(bills_anew, "at_least_once"))


def test_who_makes_ids_by_chance_is_named() -> None:
    by_chance = trials(bills_under_an_id_of_its_own, "at_least_once")
    # Only where the process dies between the append and the commit does it stand there twice.
    assert "taker: publish invoices" in found_by(by_chance, seeds=40)
    assert found_by(trials(bills_under_an_id_of_its_own, "exactly_once")) == set()
