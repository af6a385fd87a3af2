"""Functions say what they refuse and why, and run as their environment has it."""

import json
import logging
import sys
from collections import Counter
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from io import StringIO
from threading import Barrier
from typing import Any, Final
from uuid import uuid4

import pytest

import eventfabric.handlers.deliver
from eventfabric.definition.file import parse_definition
from eventfabric.errors import HandlerError, LastingError, UndecodableMessageError
from eventfabric.model import Doorbell, Lane, SequenceNumber, StreamName, SubscriptionName
from eventfabric.runtime.metrics import EmfTelemetry
from eventfabric.runtime.threads import Threads
from eventfabric.runtime.wiring import deployed, using
from eventfabric.settings import Settings
from eventfabric.telemetry import LogEvent, Metric
from eventfabric.testing.memory.faults import Fault, Faults
from eventfabric.version import VERSION
from tests.handlers.test_bad_messages import BAD, deliver, message, ring_timers
from tests.handlers.test_functions import TOPOLOGY, US, Context, InvokedFunctions
from tests.support.messages import TextWith, missing_from, raises_with
from tests.support.socket_server import endpoint, error

SETTINGS: Final = {
    "definition": TOPOLOGY.definition,
    "region": US,
    "subscription": None,
    "endpoint_url": "http://127.0.0.1:1",
}
DOORBELL: Final = Doorbell(StreamName("orders"), Lane.parse("us-east-1/0.1"), SequenceNumber(1))


@dataclass
class Refusals:
    """Telemetry that keeps what was refused, and of whom."""

    of: Counter[str | None] = field(default_factory=Counter)

    def tell(self, event: LogEvent, **about: object) -> None:
        """Nothing."""

    def add(self, metric: Metric, value: float = 1, *, of: str | None = None) -> None:
        if metric is Metric.MESSAGES_REFUSED:
            self.of[of] += int(value)

    def gauge(self, metric: Metric, value: float, *, of: str | None = None) -> None:
        """Nothing."""


def log_lines(functions: InvokedFunctions) -> list[dict[str, Any]]:
    return [json.loads(line) for line in functions.logs.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("changed", "facts"),
    [
        ({"body": BAD["a stream that is not"]}, ["stream other", "allowed: orders"]),
        (
            {"body": BAD["a lane beyond the last"]},
            ["lane us-east-1/0.4", "us-east-1/0.0 to 0.3"],
        ),
        ({"receiptHandle": None}, ["receiptHandle"]),
        ({"body": None}, ["body"]),
        ({"body": "", "receiptHandle": 7}, ["body, receiptHandle"]),
        (
            {"attributes": {"ApproximateReceiveCount": "0"}},
            ["ApproximateReceiveCount", "1 or more"],
        ),
    ],
)
def test_a_refused_message_is_logged_with_its_id_and_the_reason(
    changed: dict[str, Any], facts: list[str]
) -> None:
    functions = InvokedFunctions()
    assert deliver(functions, message(7, **changed)) == ["m7"]
    (line,) = log_lines(functions)
    assert (line["level"], line["message"]) == ("ERROR", "a message is not a doorbell")
    assert (line["message_id"], line["reason"]) == ("m7", TextWith("not a doorbell", *facts))


def test_a_refused_message_counts_for_its_subscription_else_for_its_queue() -> None:
    refusals = Refusals()
    functions = InvokedFunctions(telemetry=refusals)
    deliver(functions, message(1, "ring"))
    ring_timers(functions, message(2, "ring"), message(3, "ring", eventSourceARN=None))
    ring_timers(functions, message(4, "ring", eventSourceARN="a:" + "q" * 200))
    assert refusals.of == {"all": 1, "shop-all-timers": 1, "unknown": 1, "q" * 80: 1}


def test_metrics_that_cannot_be_written_are_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    functions = InvokedFunctions()
    runtime = functions.runtime("all")
    telemetry = EmfTelemetry(fabric="shop", subscription="all", logger=runtime.logger)
    monkeypatch.setattr(telemetry, "flush", lambda: [][0])
    replace(runtime, telemetry=telemetry).flush()
    (line,) = log_lines(functions)
    assert (line["level"], line["message"]) == ("ERROR", "metrics were not written")
    assert line["exception_name"] == "IndexError"


@pytest.fixture(autouse=True)
def library_logger(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's logger is put back after the test: a function's process has it for good."""
    monkeypatch.setattr(logging.getLogger("eventfabric"), "handlers", [])
    monkeypatch.setattr(logging.getLogger("eventfabric"), "propagate", True)


def settings(**more: object) -> Settings:
    return Settings(**{**SETTINGS, **more})  # type: ignore[arg-type]  # by name


def test_a_function_s_runtime_is_what_its_settings_say() -> None:
    runtime: Any = deployed(settings(subscription="all", function=f"shop-all-{uuid4()}", code_version="7"))
    assert runtime.topology.definition == TOPOLOGY.definition
    assert (runtime.region, runtime.subscription, runtime.code_version) == (US, "all", "7")
    assert runtime.owns_process
    assert runtime.streams is not None
    assert runtime.ports.outbox._client.meta.endpoint_url == SETTINGS["endpoint_url"]
    busy, at_once = Barrier(3), runtime.side_by_side_of(3)
    at_once([lambda: busy.wait(20)] * 3)
    assert at_once._pool._max_workers == 3


@pytest.mark.parametrize("has_name", [True, False])
def test_a_function_s_lines_are_one_each_and_name_it_or_its_fabric(
    has_name: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    name = f"f{uuid4().hex[:8]}"  # a logger that is kept writes where it first wrote
    definition = parse_definition(
        f'[fabric]\nname = "{"shop" if has_name else name}"\nregions = ["{US}"]\n[streams.orders]\n'
    )
    root = logging.StreamHandler(sys.stdout)  # as Lambda has one
    logging.getLogger().addHandler(root)
    try:
        runtime = deployed(settings(function=name if has_name else "", definition=definition))
        logging.getLogger("eventfabric.any").warning("by the library")
        runtime.logger.warning("by the function")
        runtime.telemetry.add(Metric.DOORBELLS_FAILED, of="orders")
        runtime.flush()
    finally:
        logging.getLogger().removeHandler(root)
    library, own, metrics = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert (library["message"], library["service"]) == ("by the library", name)
    assert (own["message"], own["service"]) == ("by the function", name)
    assert library["eventfabric_version"] == own["eventfabric_version"] == VERSION
    assert (metrics["fabric"], metrics["stream"]) == ("shop" if has_name else name, "orders")


def test_a_refused_call_of_either_client_is_reported(capfd: pytest.CaptureFixture[str]) -> None:
    with endpoint(error("AccessDeniedException", "no")) as url:
        runtime = deployed(settings(subscription="all", endpoint_url=url, function=f"told-{uuid4()}"))
        with suppress(LastingError):
            runtime.ports.ledger.standing(StreamName("orders"), SubscriptionName("all"))
        runtime.ports.doorbells.ring("all", [DOORBELL])
        runtime.flush()
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    refused = [line for line in lines if line.get("message") == LogEvent.CALL_REFUSED.value]
    assert [(line["cause"], line["operation"], line["code"]) for line in refused] == [
        ("denied", "Query", "AccessDeniedException"),
        ("denied", "GetQueueUrl", "AccessDeniedException"),
    ]
    assert (lines[-1]["subscription"], lines[-1]["CallsDenied"]) == ("all", [2.0])


def test_metrics_go_where_the_process_began_to_write_whatever_a_handler_puts_there(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    runtime = deployed(settings(subscription="all", function=f"kept-{uuid4()}"))
    monkeypatch.setattr(sys, "stdout", StringIO())
    runtime.telemetry.add(Metric.EVENTS_HANDLED)
    runtime.flush()
    assert json.loads(capfd.readouterr().out)["EventsHandled"] == [1.0]


def test_a_function_loads_the_handler_of_its_subscription_and_others_load_none() -> None:
    runtime = replace(InvokedFunctions().runtime("all"), handlers={})
    with pytest.raises(HandlerError, match=r"subscribers\.any"):
        runtime.load()
    replace(runtime, subscription=None).load()


def test_calls_side_by_side_have_the_context_of_whoever_makes_them() -> None:
    trace, seen = ContextVar[str]("trace"), list[str]()
    trace.set("t1")
    Threads(2)([lambda: seen.append(trace.get("none"))] * 2)
    assert seen == ["t1", "t1"]


def test_a_dead_letter_names_the_version_of_the_code_that_failed() -> None:
    functions = InvokedFunctions(fail_on="1")
    functions.fabric.publish("orders", key="a", type="Placed", id="1")
    functions.relay()
    (bell,) = [message.event() for message in functions.queue.receive()]
    with using(replace(functions.runtime("all"), code_version="7")):
        eventfabric.handlers.deliver.handle({"Records": [bell]}, Context())
    (parked,) = [item for item in functions.cloud.regions[US].table("shop-ledger").items if "q" in item]
    assert json.loads(parked["f"]["S"])["code_version"] == "7"


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({}, "no records"),
        ([], "no records"),
        ({"Records": {}}, "no records"),
        ({"Records": [{"messageId": ""}]}, "without an id"),
        ({"Records": [7]}, "without an id"),
    ],
)
def test_an_event_of_no_queue_is_refused_as_such(event: Any, reason: str) -> None:
    with (
        using(InvokedFunctions().runtime("all")),
        raises_with(UndecodableMessageError, reason, "SQS"),
    ):
        eventfabric.handlers.deliver.handle(event, Context())


def test_a_stream_record_that_is_not_the_log_s_is_logged_with_the_reason() -> None:
    functions = InvokedFunctions()
    functions.fabric.publish("orders", key="a", type="Placed")

    def elsewhere(record: dict[str, Any]) -> None:
        record["dynamodb"]["NewImage"]["pk"] = {"S": "mars-north-1/0.1"}

    assert functions.relay(elsewhere) == {"batchItemFailures": []}
    (line,) = log_lines(functions)
    assert (line["level"], line["message"]) == ("ERROR", "a stream record is not the log's")
    assert missing_from(line["reason"], "lane mars-north-1/0.1", US) == []


def test_doorbells_that_could_not_be_sent_are_logged_with_their_place_in_the_stream() -> None:
    functions = InvokedFunctions(
        faults=Faults(lambda name, *_: Fault.LOST_REQUEST if name.startswith("doorbells.ring") else None)
    )
    functions.fabric.publish("orders", key="a", type="Placed")
    answer = functions.relay()
    (line,) = log_lines(functions)
    assert (line["level"], line["message"]) == ("WARNING", "queues take no doorbells, and records come again")
    assert line["positions"] == [failure["itemIdentifier"] for failure in answer["batchItemFailures"]] != []


def test_a_lane_that_is_rung_again_is_logged_with_the_reason() -> None:
    functions = InvokedFunctions(
        faults=Faults(lambda name, *_: Fault.THROTTLED if name == "ledger.state" else None)
    )
    receipt = functions.fabric.publish("orders", key="a", type="Placed")
    functions.relay()
    functions.deliver()
    (line,) = log_lines(functions)
    assert (line["level"], line["message"]) == ("WARNING", "a lane is rung again")
    assert (line["subscription"], line["lane"], line["tail"]) == ("all", str(receipt.lane), 1)
    assert line["reason"].startswith("ledger.state: ")
