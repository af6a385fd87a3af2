"""Blocked deliveries: the deliver function counts what stops a lane until somebody mends it, and nothing else."""

import json

from aws_lambda_powertools import Logger

from eventfabric.telemetry import Metric
from eventfabric.testing.local.subscription import CountingTelemetry
from eventfabric.testing.memory.faults import Fault, Faults, nth
from tests.handlers.test_functions import US, InvokedFunctions


def counting(functions: InvokedFunctions) -> CountingTelemetry:
    functions.telemetry = telemetry = CountingTelemetry(Logger(service="test-blocked", stream=functions.logs))
    return telemetry


def published(functions: InvokedFunctions) -> InvokedFunctions:
    functions.fabric.publish("orders", key="a", type="Placed")
    functions.relay()
    return functions


def test_a_lane_that_stops_at_a_record_nobody_can_decode_is_blocked() -> None:
    functions = published(InvokedFunctions())
    telemetry = counting(functions)
    table = functions.cloud.regions[US].table("shop-orders")
    table.write("Put", {"Item": {**table.items[0], "c": {"B": b"short"}}})
    assert len(functions.deliver()) == 1
    assert telemetry.sums[Metric.DELIVERIES_BLOCKED] == telemetry.sums[Metric.LANES_STOPPED] == 1
    line = next(line for line in map(json.loads, functions.logs.getvalue().splitlines()) if "outcome" in line)
    assert (line["message"], line["subscription"], line["outcome"]) == ("a lane stopped", "all", "stopped")
    assert (line["lane"], line["tail"]) == (table.items[0]["pk"]["S"], 1)
    assert (line["error_type"], line["exception_name"]) == ("UndecodableRecordError",) * 2


def test_an_event_that_fails_and_a_call_that_is_throttled_block_nothing() -> None:
    for functions in (
        InvokedFunctions(fail_on="x", faults=Faults(nth(1, Fault.THROTTLED, name="ledger.commit"))),
        InvokedFunctions(faults=Faults(nth(1, Fault.LOST_REPLY, name="ledger.commit"))),
    ):
        telemetry = counting(functions)
        published(functions).deliver()
        assert telemetry.sums[Metric.DELIVERIES_BLOCKED] == 0
