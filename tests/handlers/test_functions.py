"""The Lambda functions: real event shapes in, partial batch responses out, over the memory adapters."""

import json
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from inspect import unwrap
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

import eventfabric.handlers.deliver
import eventfabric.handlers.reconcile
import eventfabric.handlers.relay
import eventfabric.handlers.timer
from eventfabric import Delivery, Event
from eventfabric.definition.file import parse_definition
from eventfabric.definition.schema import to_json
from eventfabric.errors import DefinitionError, RefusedError
from eventfabric.model import Lane, Region
from eventfabric.runtime import deliver, relay, timer
from eventfabric.runtime.metrics import EmfTelemetry
from eventfabric.runtime.wiring import Runtime, using
from eventfabric.services.delivery.ringer import AGAIN_SECONDS
from eventfabric.services.delivery.side_by_side import SideBySide, one_after_another
from eventfabric.settings import Settings
from eventfabric.telemetry import Metric, NoTelemetry, Telemetry
from eventfabric.testing.local.subscription import CountingTelemetry
from eventfabric.testing.memory.entropy import SeededEntropy
from eventfabric.testing.memory.faults import Fault, Faults, nth
from eventfabric.topology import DELIVER_ENTRY, RELAY_ENTRY, TIMER_ENTRY, Topology
from tests.support.memory_fabric import MemoryFabric

US = "us-east-1"
TOPOLOGY = Topology(
    parse_definition(
        '[fabric]\nname = "shop"\nregions = ["us-east-1"]\n[streams.orders]\nlanes = 4\n'
        '[subscriptions.all]\nstream = "orders"\nhandler = "subscribers.any:handle"\n'
    )
)


@dataclass
class Context(LambdaContext):
    """The part of Lambda's context that the functions use."""

    remaining_ms: int = 60_000

    def get_remaining_time_in_millis(self) -> int:  # type: ignore[override]  # static in Powertools only
        return self.remaining_ms


class InvokedFunctions(MemoryFabric):
    """The functions of one Region, invoked by hand, and what their handler saw."""

    def __init__(
        self,
        *,
        faults: Faults | None = None,
        fail_on: str | None = None,
        crash_on: str | None = None,
        telemetry: Telemetry | None = None,
        topology: Topology = TOPOLOGY,
        side_by_side_of: Callable[[int], SideBySide] = lambda most: one_after_another,
    ) -> None:
        super().__init__(topology, seed=1)
        self.side_by_side_of = side_by_side_of
        self.faults = faults or Faults()
        self.seen: list[str | None] = []
        self.fail_on = fail_on
        self.crash_on = crash_on
        self.logs = StringIO()
        # One that is kept, by its name, writes where it first wrote.
        self.logger = Logger(service=f"test-{uuid4()}", stream=self.logs, level=logging.INFO)
        self.telemetry = telemetry or NoTelemetry()
        self.fabric = self.producer(entropy=SeededEntropy(2), outbox=None)
        self._stream = self.cloud.log_table("orders", US).stream.reader()
        self.queue = self.cloud.queue("all", US)

    def handle(self, event: Event, delivery: Delivery) -> None:
        if event.id == self.fail_on:
            raise ValueError("not now")
        if event.id == self.crash_on:
            raise KeyboardInterrupt
        self.seen.append(event.id)

    def runtime(self, subscription: str | None) -> Runtime:
        return Runtime(
            topology=self.topology,
            region=Region(US),
            subscription=subscription,
            ports=self.faults.ports(self.ports()),
            telemetry=self.telemetry,
            logger=self.logger,
            handlers={"all": self.handle},
            side_by_side_of=self.side_by_side_of,
        )

    def relay(self, change: Callable[[dict[str, Any]], None] = lambda _: None) -> dict[str, Any]:
        """Hand what the stream has to the relay, after `change` of each record."""
        records = [pending.event() for pending in self._stream.pending]
        for stream_record in records:
            change(stream_record)
        with using(self.runtime(None)):
            return dict(eventfabric.handlers.relay.handle({"Records": records}, Context()))

    def deliver(self, *, context: Context | None = None, bodies: tuple[str, ...] = ()) -> list[str]:
        """Hand what the queue has (and further bodies) to the deliver function; the bodies that must come again."""
        received = self.queue.receive()
        records = [message.event() for message in received]
        for number, body in enumerate(bodies):
            records.append(
                {"messageId": f"extra-{number}", "receiptHandle": "none", "body": body, "attributes": {}}
            )
        with using(self.runtime("all")):
            answer = eventfabric.handlers.deliver.handle({"Records": records}, context or Context())
        failed = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        for message in received:
            if message.message_id not in failed:
                with suppress(RefusedError):  # the function may have answered it already
                    self.queue.delete(message.receipt_handle)
        return [record["body"] for record in records if record["messageId"] in failed]


def test_the_entries_that_are_deployed_are_the_functions_that_run_locally() -> None:
    assert unwrap(eventfabric.handlers.relay.handle) is relay.handle
    assert unwrap(eventfabric.handlers.deliver.handle) is deliver.handle
    assert unwrap(eventfabric.handlers.timer.handle) is timer.handle
    assert (RELAY_ENTRY, DELIVER_ENTRY) == (
        "eventfabric.handlers.relay.handle",
        "eventfabric.handlers.deliver.handle",
    )
    assert TIMER_ENTRY == "eventfabric.handlers.timer.handle"


def test_an_event_goes_from_stream_record_to_doorbell_to_handler() -> None:
    functions = InvokedFunctions()
    receipt = functions.fabric.publish("orders", key="a", type="Placed", data={"n": 1}, id="1")
    assert functions.relay() == {"batchItemFailures": []}
    (body,) = functions.queue.bodies
    assert json.loads(body) == {"stream": "orders", "origin": US, "lane": receipt.lane.local, "tail": 1}
    assert functions.deliver() == []
    assert functions.seen == ["1"]


def test_doorbells_carry_no_payload_and_logs_no_data() -> None:
    logs = StringIO()
    logger = Logger(service=f"test-{uuid4()}", stream=logs)  # one that is kept writes where it first wrote
    functions = InvokedFunctions(
        fail_on="1", telemetry=EmfTelemetry(fabric="shop", subscription="billing", logger=logger)
    )
    functions.fabric.publish(
        "orders", key="customer-17", type="Placed", data={"card": "4111 1111 1111 1111"}, id="1"
    )
    functions.relay()
    functions.deliver()
    (line,) = [json.loads(line) for line in logs.getvalue().splitlines()]
    assert (line["message"], line["error_type"]) == ("a key is parked", "builtins:ValueError")
    output = "".join(functions.queue.bodies) + functions.logs.getvalue() + logs.getvalue()
    assert not any(private in output for private in ("4111 1111", "customer-17", "not now"))


def test_while_queues_take_nothing_the_relay_reports_the_first_record_that_must_come_again() -> None:
    faults = Faults(lambda name, *_: Fault.THROTTLED if name.startswith("doorbells.ring") else None)
    functions = InvokedFunctions(faults=faults)
    for key in ("a", "b", "c"):
        functions.fabric.publish("orders", key=key, type="Placed")
    answer = functions.relay()
    first = functions.cloud.log_table("orders", US).stream.changes[0].position
    assert answer == {"batchItemFailures": [{"itemIdentifier": first}]}
    faults.heal()
    assert functions.relay() == {"batchItemFailures": []}
    assert functions.deliver() == []
    assert len(functions.seen) == 3


def test_what_a_queue_refuses_is_rung_by_timers_and_the_stream_goes_on() -> None:
    functions = InvokedFunctions(faults=Faults(nth(1, Fault.THROTTLED, name="doorbells.ring")))
    functions.fabric.publish("orders", key="a", type="Placed", id="1")
    assert functions.relay() == {"batchItemFailures": []}
    assert functions.queue.bodies == []
    functions.clock.advance(AGAIN_SECONDS)
    body = functions.cloud.timers("all", US).take()
    assert functions.deliver(bodies=(str(body),)) == []
    assert functions.seen == ["1"]


def test_the_relay_never_fails_on_content_and_takes_no_removal_for_news() -> None:
    functions = InvokedFunctions()
    functions.fabric.publish("orders", key="a", type="Placed")

    def strip(stream_record: dict[str, Any]) -> None:
        del stream_record["dynamodb"]["NewImage"]["n"]

    assert functions.relay(strip) == {"batchItemFailures": []}
    assert functions.queue.bodies == []
    assert "not the log's" in functions.logs.getvalue()

    def remove(stream_record: dict[str, Any]) -> None:
        stream_record["eventName"] = "REMOVE"

    assert functions.relay(remove) == {"batchItemFailures": []}
    assert functions.queue.bodies == []


def test_a_failing_event_is_parked_and_its_doorbell_has_served() -> None:
    functions = InvokedFunctions(fail_on="bad")
    for number, key in enumerate("abcdefghijk"):
        functions.fabric.publish("orders", key=key, type="Placed", id="bad" if number == 0 else key)
    functions.relay()
    assert functions.deliver() == []
    assert sorted(str(name) for name in functions.seen) == list("bcdefghijk")
    assert len(functions.cloud.timers("all", US)) == 1


def test_a_timer_rings_in_the_lanes_own_group_and_then_the_event_is_tried_again() -> None:
    functions = InvokedFunctions(fail_on="bad")
    lane = functions.fabric.publish("orders", key="a", type="Placed", id="bad").lane
    functions.relay()
    functions.deliver()
    functions.fail_on = None
    functions.clock.advance(60)
    body = functions.cloud.timers("all", US).take()
    queue = {"eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:shop-all-timers", "attributes": {}}
    records = [
        {"messageId": "1", "receiptHandle": "1", "body": body, **queue},
        {"messageId": "2", "receiptHandle": "2", "body": "{}", **queue},
    ]
    with using(functions.runtime(None)):
        answer = eventfabric.handlers.timer.handle({"Records": records}, Context())
    assert answer == {"batchItemFailures": [{"itemIdentifier": "2"}]}
    assert [message.group for message in functions.queue.receive()] == [str(lane)]


def test_a_lane_that_cannot_go_on_fails_its_doorbells_and_no_others() -> None:
    functions = InvokedFunctions()
    receipts = [functions.fabric.publish("orders", key=key, type="Placed") for key in "abcdefghijk"]
    stopped = receipts[0].lane
    table = functions.cloud.log_table("orders", US)
    (record,) = [item for item in table.items if item["pk"]["S"] == str(stopped) and item["sk"]["N"] == "0"]
    table.write("Put", {"Item": {**record, "d": {"B": b"?"}}})
    functions.relay()
    assert {json.loads(body)["lane"] for body in functions.deliver()} == {stopped.local}
    assert len(functions.seen) == sum(receipt.lane != stopped for receipt in receipts)


def test_lanes_that_share_an_invocation_with_one_that_crashes_are_delivered_and_answered() -> None:
    functions = InvokedFunctions(crash_on="bad")
    lanes: dict[Lane, list[str]] = {}
    for key in "abcdefghijklmnop":
        receipt = functions.fabric.publish("orders", key=key, type="Placed", id=key)
        lanes.setdefault(receipt.lane, []).append(key)
    assert len(lanes) == 4
    bad = functions.fabric.publish("orders", key="a", type="Placed", id="bad").lane
    functions.relay()
    innocent = {key for lane, keys in lanes.items() if lane != bad for key in keys}
    for _ in range(6):
        with suppress(KeyboardInterrupt):
            functions.deliver()
        functions.clock.advance(200)
    assert innocent <= set(functions.seen)
    assert {json.loads(body)["lane"] for body in functions.queue.bodies} == {bad.local}


def test_many_doorbells_of_a_lane_are_one_run_of_it() -> None:
    functions = InvokedFunctions()
    for number in range(4):
        functions.fabric.publish("orders", key="a", type="Placed", id=str(number))
        functions.relay()
    assert functions.deliver() == []
    assert functions.seen == ["0", "1", "2", "3"]
    assert (functions.faults.count("ledger.state"), functions.faults.count("ledger.commit")) == (1, 1)


def test_a_message_that_is_no_doorbell_fails_alone() -> None:
    functions = InvokedFunctions()
    functions.fabric.publish("orders", key="a", type="Placed", id="1")
    functions.relay()
    strange = ("not json", '{"stream": "orders"}', '{"stream":"orders","origin":"","lane":"0.1","tail":1}')
    assert functions.deliver(bodies=strange) == list(strange)
    assert functions.seen == ["1"]


def test_out_of_time_rings_the_lane_anew() -> None:
    functions = InvokedFunctions()
    functions.fabric.publish("orders", key="a", type="Placed", id="1")
    functions.relay()
    assert functions.deliver(context=Context(remaining_ms=100)) == []
    assert functions.seen == []
    assert functions.deliver() == []
    assert functions.seen == ["1"]


def test_a_call_that_gives_no_reply_for_a_moment_is_made_again_in_place() -> None:
    functions = InvokedFunctions(faults=Faults(nth(1, Fault.LOST_REPLY, name="ledger.state")))
    functions.fabric.publish("orders", key="a", type="Placed", id="1")
    functions.relay()
    assert functions.deliver() == []
    assert functions.seen == ["1"]


def test_metrics_are_written_once_an_invocation_in_embedded_metric_format(
    capsys: pytest.CaptureFixture[str],
) -> None:
    functions = InvokedFunctions(
        telemetry=EmfTelemetry(fabric="shop", subscription="billing", logger=Logger(service="test"))
    )
    functions.fabric.publish("orders", key="a", type="Placed", id="1")
    functions.relay()
    functions.deliver()
    rung, delivered = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert rung["DoorbellsRung"] == [1.0]
    assert delivered["EventsHandled"] == [1.0]
    assert directives(rung) == {"fabric stream": {"DoorbellsRung"}}
    assert (rung["fabric"], rung["stream"]) == ("shop", "orders")
    both = {"EventsHandled", "DeliveryLatency"}
    assert directives(delivered) == {"fabric subscription": both, "fabric": both}
    assert (delivered["fabric"], delivered["subscription"]) == ("shop", "billing")


def directives(blob: dict[str, Any]) -> dict[str, set[str]]:
    """Names of a line's metrics by their dimensions."""
    return {
        " ".join(dimensions): {metric["Name"] for metric in directive["Metrics"]}
        for directive in blob["_aws"]["CloudWatchMetrics"]
        for dimensions in directive["Dimensions"]
    }


def test_what_no_alarm_or_graph_shows_is_only_logged(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry = EmfTelemetry(fabric="shop", subscription="billing", logger=Logger(service="test"))
    telemetry.add(Metric.DOORBELLS_DUPLICATE)
    telemetry.flush()
    line = json.loads(capsys.readouterr().out)
    assert line == {"fabric": "shop", "subscription": "billing", "DoorbellsDuplicate": [1]}


def test_settings_say_what_the_environment_lacks(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="EVENTFABRIC_DEFINITION: found nothing"):
        Settings.from_environment({"AWS_REGION": US})
    path = tmp_path / "definition.json"
    path.write_bytes(to_json(TOPOLOGY.definition))
    environment = {"AWS_REGION": US, "EVENTFABRIC_DEFINITION": str(path)}
    settings = Settings.from_environment({**environment, "AWS_LAMBDA_FUNCTION_NAME": "shop-timer"})
    assert (settings.definition, settings.function) == (TOPOLOGY.definition, "shop-timer")
    # In its zip, wherever Lambda has unpacked that.
    unpacked = {**environment, "EVENTFABRIC_DEFINITION": path.name, "LAMBDA_TASK_ROOT": str(tmp_path)}
    assert Settings.from_environment(unpacked).definition == TOPOLOGY.definition


def test_reconcile_rings_for_what_nobody_rang_for_and_says_what_it_found() -> None:
    telemetry = CountingTelemetry(Logger(service="test-reconcile", stream=StringIO()))
    fabric = InvokedFunctions(telemetry=telemetry)
    lanes = len({fabric.fabric.publish("orders", key=key, type="Placed").lane for key in "abcd"})
    assert lanes > 1
    with using(fabric.runtime(None)):
        assert eventfabric.handlers.reconcile.handle({}, Context(900_000)) == {"findings": {"orders": {}}}
        fabric.clock.advance(3_600)
        answer = eventfabric.handlers.reconcile.handle({"full": True}, Context(900_000))
    assert answer == {"findings": {"orders": {"unrung": lanes}}}
    assert telemetry.sums[Metric.FINDINGS_REPAIRED] == lanes
    fabric.deliver()
    assert len(fabric.seen) == 4


def test_only_a_full_pass_reads_again_what_was_verified() -> None:
    functions = InvokedFunctions()
    receipt = functions.fabric.publish("orders", key="a", type="Placed")
    table = functions.cloud.log_table("orders", US)
    with using(functions.runtime(None)):
        eventfabric.handlers.reconcile.handle({}, Context(900_000))
        (item,) = [item for item in table.items if item["pk"] == {"S": str(receipt.lane)} and "d" in item]
        table.write("Put", {"Item": {**item, "d": {"B": b"spoiled"}}})
        others: list[Any] = [{}, {"full": False}, {"full": "yes"}, []]
        for event in others:
            assert eventfabric.handlers.reconcile.handle(event, Context(900_000)) == {
                "findings": {"orders": {}}
            }
        answer = eventfabric.handlers.reconcile.handle({"full": True}, Context(900_000))
    assert answer == {"findings": {"orders": {"divergence": 1}}}
