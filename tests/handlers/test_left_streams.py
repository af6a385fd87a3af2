"""Broken or blocked standard streams that a handler leaves behind: they cost no invocation, no log line, no metric."""

import io
import json
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from aws_lambda_powertools import Logger

import eventfabric.handlers.deliver
import eventfabric.handlers.reconcile
import eventfabric.handlers.relay
import eventfabric.handlers.timer
from eventfabric import Delivery, Event
from eventfabric.runtime.metrics import EmfTelemetry
from eventfabric.runtime.output import KeptStreams, Output, OutputHandler
from eventfabric.runtime.wiring import Runtime, using
from eventfabric.telemetry import LogEvent, Metric
from tests.handlers.test_functions import Context, InvokedFunctions
from tests.support.forks import in_a_fork


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


LEFT: dict[str, Callable[[], Any]] = {"closed": closed, "none": lambda: None, "full": Full, "object": object}


class Leaving(InvokedFunctions):
    """Its handler leaves both streams so, at its first event."""

    leaves: Callable[[], Any]

    def handle(self, event: Event, delivery: Delivery) -> None:
        if not self.seen:
            sys.stdout, sys.stderr = self.leaves(), self.leaves()
        super().handle(event, delivery)


@pytest.fixture(autouse=True)
def streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both streams are put back after the test."""
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)


def lasting(functions: InvokedFunctions, subscription: str | None = "all", *, keeps: bool = True) -> Runtime:
    """A runtime as the environment makes one, which stays from one invocation to the next."""
    streams = KeptStreams()
    output = streams.output if keeps else Output()
    logger = Logger(service=f"left-{id(streams)}", logger_handler=OutputHandler(output))
    telemetry = EmfTelemetry(fabric="shop", subscription=subscription, logger=logger, output=output)
    return replace(
        functions.runtime(subscription),
        telemetry=telemetry,
        logger=logger,
        streams=streams if keeps else None,
    )


def invoke(functions: InvokedFunctions, runtime: Runtime) -> Any:
    records = [message.event() for message in functions.queue.receive()]
    with using(runtime):
        answer = eventfabric.handlers.deliver.handle({"Records": records}, Context())
    for record in records:
        functions.queue.delete(record["receiptHandle"])
    return answer


@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("leaves", LEFT.values(), ids=LEFT.keys())
def test_later_invocations_serve_their_doorbells(
    leaves: Callable[[], Any], keeps: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    functions = Leaving()
    functions.leaves = leaves
    runtime = lasting(functions, keeps=keeps)
    for number in range(3):
        functions.fabric.publish("orders", key="a", type="Placed", id=str(number))
        functions.relay()
        assert invoke(functions, runtime) == {"batchItemFailures": []}
    assert functions.seen == ["0", "1", "2"]
    if keeps:
        lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
        assert [line["EventsHandled"] for line in lines] == [[1.0]] * 3


def test_what_handlers_print_after_that_is_written(capfd: pytest.CaptureFixture[str]) -> None:
    streams = KeptStreams()
    sys.stdout, sys.stderr = closed(), closed()
    streams.reopen()
    print("printed")
    print("warned", file=sys.stderr)
    output = capfd.readouterr()
    assert (output.out, output.err) == ("printed\n", "warned\n")


def test_a_stream_that_was_put_there_on_purpose_stays(capfd: pytest.CaptureFixture[str]) -> None:
    streams, mine = KeptStreams(), io.StringIO()
    sys.stdout = mine
    streams.reopen()
    assert sys.stdout is mine


@pytest.mark.parametrize("leaves", LEFT.values(), ids=LEFT.keys())
@pytest.mark.parametrize("keeps", [True, False])
def test_no_function_fails_for_what_it_cannot_write(leaves: Callable[[], Any], keeps: bool) -> None:
    functions = InvokedFunctions()
    runtime = lasting(functions, None, keeps=keeps)
    nobody_s: Any = {"eventSource": "x", "eventSourceARN": "a/b/c", "dynamodb": {}}
    message: Any = {
        "messageId": "m",
        "receiptHandle": "r",
        "body": "no doorbell",
        "eventSourceARN": "x:shop-all",
    }
    functions.fabric.publish("orders", key="a", type="Placed")
    functions.clock.advance(3_600)
    sys.stdout, sys.stderr = leaves(), leaves()
    with using(runtime):
        relayed = eventfabric.handlers.relay.handle({"Records": [nobody_s]}, Context())
        assert relayed == {"batchItemFailures": []}
        assert eventfabric.handlers.timer.handle({"Records": [message]}, Context())["batchItemFailures"]
        answer = eventfabric.handlers.reconcile.handle({}, Context(900_000))
    assert answer == {"findings": {"orders": {"unrung": 1}}}


def test_metrics_that_cannot_be_put_into_their_format_fail_nothing_and_are_not_kept(
    capfd: pytest.CaptureFixture[str],
) -> None:
    functions = InvokedFunctions()
    runtime = lasting(functions)
    runtime.telemetry.add(Metric.DELIVERY_LATENCY, "many")  # type: ignore[arg-type]  # no number
    runtime.flush()
    runtime.telemetry.add(Metric.EVENTS_HANDLED)
    runtime.flush()
    line = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert line["EventsHandled"] == [1.0]
    assert "DeliveryLatency" not in line


def test_a_line_goes_whole_to_the_descriptor_whatever_stands_in_it(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unprintable:
        def __repr__(self) -> str:
            raise SystemError("repr")

        __str__ = __repr__

    output = KeptStreams().output
    # Half a pair is in no report of a test: a process that runs some of the tests could not hand it over.
    name = f"whole-{uuid4()}"  # one that is kept writes where it first wrote
    monkeypatch.setattr(logging.getLogger(name), "propagate", False)
    logger = Logger(service=name, logger_handler=OutputHandler(output))
    logger.warning("half a \ud83d pair", extra={"lane": "x" * 200_000})
    logger.warning(LogEvent.CIRCUIT_OPENED.value, extra={"reason": Unprintable()})
    first, second = (json.loads(line) for line in capfd.readouterr().out.splitlines())
    assert len(first["lane"]) == 200_000
    assert second["level"] == "WARNING"


def test_a_descriptor_that_is_gone_costs_the_line_alone() -> None:
    reader, writer = os.pipe()
    output = Output(writer)
    os.close(reader)
    output.write("nobody reads this")
    reader, again = os.pipe()
    os.close(writer)
    output.write("nor this")
    os.dup2(again, writer)
    output.write("but this")
    os.close(writer)
    os.close(again)
    with os.fdopen(reader) as stream:
        assert stream.read() == "but this\n"


def test_a_child_that_is_forked_while_a_line_is_written_writes_its_own() -> None:
    """Lines and metrics: the threads that held their locks do not exist in the child."""
    reads, writes = os.pipe()
    output = Output(writes)
    telemetry = EmfTelemetry(fabric="f", subscription="s", logger=Logger(service="forked"), output=output)

    def child() -> None:
        telemetry.add(Metric.EVENTS_HANDLED)
        telemetry.flush()

    with output._lock, telemetry._lock:
        assert in_a_fork(child) == 0
    os.close(writes)
    with os.fdopen(reads) as lines:
        assert json.loads(lines.read())[Metric.EVENTS_HANDLED] == [1.0]
