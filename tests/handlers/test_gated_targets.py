"""Handlers that publish into a stream whose producers a subscription holds back: they wait as for a busy stream."""

import pytest

from eventfabric.model import Lane, LaneKey, SequenceNumber, StreamName, SubscriptionName
from eventfabric.services.catalogue.known import CATALOGUE_SECONDS
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.faults import Faults
from tests.handlers.test_declared import HERE
from tests.handlers.test_declared_targets import INVOICES, PublishingFunctions, topology
from tests.support.memory_fabric import LANE

GATE = (
    f'[subscriptions.ledger]\nstream = "{INVOICES}"\nhandler = "subscribers.any:handle"\n'
    "[subscriptions.ledger.backpressure]\n"
)


def grant(functions: PublishingFunctions, until: int, of: Lane = LANE) -> None:
    key = LaneKey(StreamName(INVOICES), SubscriptionName("ledger"), of)
    functions.ports().credits.grant(key, SequenceNumber(until))


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_a_lane_waits_for_credit_and_no_attempt_is_counted(guarantee: str) -> None:
    functions = PublishingFunctions(guarantee=guarantee, others=GATE)
    grant(functions, 0)
    functions.order("a")
    functions.deliver()
    assert (functions.seen, functions.invoices()) == (["a"], [])
    grant(functions, 9)
    functions.delivered_later()
    assert functions.invoices() == ["a"]
    assert functions.counted.totals.get(Metric.EVENTS_FAILED, 0) == 0


def test_a_gate_that_is_declared_later_than_the_zip_holds_handlers_back_within_a_minute() -> None:
    functions = PublishingFunctions()
    grant(functions, 1)
    functions.order("a")
    assert functions.deliver() == []
    wide = topology(others=GATE)
    functions.declare(wide, HERE)
    functions.clock.advance(CATALOGUE_SECONDS)
    functions.order("b")
    functions.deliver()
    assert (functions.seen, functions.invoices()) == (["a", "b"], ["a"])


@pytest.mark.parametrize(("others", "reads"), [("", 0), (GATE, 1)])
def test_what_subscriptions_grant_is_read_once_and_only_where_one_holds_producers_back(
    others: str, reads: int
) -> None:
    functions = PublishingFunctions(others=others)
    grant(functions, 9)
    calls = functions.faults = Faults()
    functions.order("a", "b")
    assert functions.deliver() == []
    assert (functions.invoices(), calls.count("credits.granted")) == (["a", "b"], reads)
