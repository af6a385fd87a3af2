"""Metrics of a pass of reconciliation, as the function writes them in CloudWatch's embedded format."""

import json

import pytest
from aws_lambda_powertools import Logger

import eventfabric.handlers.reconcile
from eventfabric.definition.file import parse_definition
from eventfabric.deployment.idle import METRICS_OF_PASS
from eventfabric.errors import PortError
from eventfabric.runtime.metrics import EmfTelemetry
from eventfabric.runtime.wiring import using
from eventfabric.testing.memory.faults import Fault, Faults, nth
from eventfabric.topology import Topology
from tests.handlers.test_functions import US, Context, InvokedFunctions, directives

ALL = '[subscriptions.all]\nstream = "orders"\nhandler = "subscribers.any:handle"\n'


def test_a_pass_writes_what_is_not_as_it_should_be_and_that_it_has_ended(
    capsys: pytest.CaptureFixture[str],
) -> None:
    fabric = InvokedFunctions(telemetry=EmfTelemetry(fabric="shop", logger=Logger(service="test")))
    fabric.fabric.publish("orders", key="a", type="Placed")
    fabric.clock.advance(120)
    with using(fabric.runtime(None)):
        eventfabric.handlers.reconcile.handle({}, Context(900_000))
    waits, ended = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (waits["subscription"], waits["OldestUndelivered"]) == ("all", [120.0])
    assert directives(waits) == {
        "fabric subscription": {"OldestUndelivered"},
        "fabric": {"OldestUndelivered"},
    }
    assert waits["_aws"]["CloudWatchMetrics"][0]["Metrics"] == [
        {"Name": "OldestUndelivered", "Unit": "Seconds"}
    ]
    assert (directives(ended), ended["PassesCompleted"]) == ({"fabric": {"PassesCompleted"}}, [1])


def test_a_pass_with_nothing_to_report_writes_as_many_metrics_as_the_idle_month_counts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    telemetry = EmfTelemetry(fabric="shop", subscription="all", logger=Logger(service="test"))
    fabric = InvokedFunctions(telemetry=telemetry)
    fabric.fabric.publish("orders", key="a", type="Placed")
    fabric.relay()
    fabric.deliver()
    capsys.readouterr()
    with using(fabric.runtime(None)):
        eventfabric.handlers.reconcile.handle({}, Context(900_000))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    metrics = [name for line in lines for names in directives(line).values() for name in names]
    assert len(metrics) == METRICS_OF_PASS


def test_a_pass_that_fails_is_not_counted_as_completed(capsys: pytest.CaptureFixture[str]) -> None:
    fabric = InvokedFunctions(
        telemetry=EmfTelemetry(fabric="shop", logger=Logger(service="test")),
        faults=Faults(nth(1, Fault.DENIED, name="ledger.standing")),
    )
    with using(fabric.runtime(None)), pytest.raises(PortError):
        eventfabric.handlers.reconcile.handle({}, Context(900_000))
    assert "PassesCompleted" not in capsys.readouterr().out


@pytest.mark.parametrize("number", [1, 2])
def test_a_stream_whose_pass_fails_leaves_the_others_theirs(
    number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    streams = "".join(f"[streams.{name}]\nlanes = 1\n" for name in ("orders", "returns"))
    fabric = InvokedFunctions(
        topology=Topology(parse_definition(f'[fabric]\nname = "shop"\nregions = ["{US}"]\n{streams}{ALL}')),
        telemetry=EmfTelemetry(fabric="shop", logger=Logger(service="test")),
        faults=Faults(nth(number, Fault.DENIED, name="ledger.progress")),
    )
    with using(fabric.runtime(None)), pytest.raises(PortError):
        eventfabric.handlers.reconcile.handle({}, Context(900_000))
    assert fabric.faults.count("ledger.progress") == 2
    assert "log.tail" in fabric.faults.calls
    assert "PassesCompleted" not in capsys.readouterr().out
