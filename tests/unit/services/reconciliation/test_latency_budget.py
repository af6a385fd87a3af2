"""The share of a subscription's objective that its oldest undelivered event has used up."""

from collections import UserString
from dataclasses import replace
from typing import Any

import pytest

from eventfabric.model import Circuit, CircuitState, SequenceNumber, StreamName, SubscriptionName
from eventfabric.services.reconciliation.reconcile import Reconciler
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.faults import Faults
from tests.support.failing_handlers import named
from tests.support.memory_fabric import HOME, Counting
from tests.support.reconciliations import healthy, kinds, put_cursor
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream

OBJECTIVE = UserString("{ latency_ms = 60000 }")
"""Not a text of the definition, but a table."""


def with_objective(*, objective: bool = True) -> SubscribedStream:
    settings: dict[str, Any] = {"slo": OBJECTIVE} if objective else {}
    return healthy(**settings)


def waiting(seconds: int, *, objective: bool = True) -> SubscribedStream:
    """A stream with an event that nobody has delivered for so long."""
    fabric = with_objective(objective=objective)
    fabric.put(*named("late"))
    fabric.clock.advance(seconds)
    fabric.telemetry.gauges.clear()
    return fabric


def switched(fabric: SubscribedStream, state: CircuitState) -> None:
    stream, subscription = StreamName(fabric.stream.name), SubscriptionName(SUBSCRIPTION)
    fabric.ledger.switch(stream, subscription, Circuit(), replace(Circuit(), state=state, reason="down"))


def used(fabric: SubscribedStream) -> float | None:
    kinds(fabric)
    return fabric.telemetry.gauges.get((Metric.LATENCY_BUDGET_USED, SUBSCRIPTION))


@pytest.mark.parametrize(("seconds", "percent"), [(0, 0), (30, 50), (60, 100), (150, 250)])
def test_it_is_the_age_of_the_oldest_event_over_the_objective(seconds: int, percent: float) -> None:
    assert used(waiting(seconds)) == percent


def test_it_is_nothing_once_the_event_is_delivered() -> None:
    fabric = waiting(60)
    fabric.relay_all()
    fabric.deliver_all()
    assert used(fabric) == 0


def test_without_an_objective_it_is_not_reported() -> None:
    assert used(waiting(60, objective=False)) is None


@pytest.mark.parametrize(
    ("state", "percent"), [(CircuitState.OPEN, 100), (CircuitState.PAUSED, None), (CircuitState.CLOSED, 100)]
)
def test_an_outage_uses_it_up_and_a_pause_does_not(state: CircuitState, percent: float | None) -> None:
    fabric = waiting(60)
    switched(fabric, state)
    assert used(fabric) == percent


def test_events_that_are_replayed_do_not_count() -> None:
    fabric = with_objective()
    fabric.clock.advance(5_000)
    put_cursor(fabric, sequence=SequenceNumber(0), base=SequenceNumber(0), replay_until=SequenceNumber(12))
    assert used(fabric) == 0


def test_it_costs_no_call() -> None:
    def calls(*, objective: bool) -> list[str]:
        fabric, faults = waiting(60, objective=objective), Faults()
        ports = faults.ports(fabric.ports())
        list(Reconciler(fabric.stream, region=HOME, ports=ports, telemetry=Counting()).run(repair=False))
        return faults.calls

    assert calls(objective=True) == calls(objective=False)
