"""The deployed functions under Lambda's own runtime client: the zip alone, events as AWS sends them, real answers.

Behind them is a server of tables and queues, filled by a publisher.
"""

import json
import shutil
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from eventfabric import Event, Fabric
from eventfabric.aws.clients import Clients
from eventfabric.cdk.twin import interpreter
from eventfabric.definition.file import read_definition
from eventfabric.model import Doorbell, SequenceNumber, StreamName
from eventfabric.resources import FunctionTopology
from eventfabric.runtime.wiring import LOAD_ONLY
from eventfabric.sdk.bundle import Receipt
from eventfabric.topology import Topology
from eventfabric.wire.doorbell import to_body
from tests.infra.deployed import DEFINITION, environment, stage_sample
from tests.infra.runtime_api import Started, started
from tests.support.command_line import local_up
from tests.support.messages import missing_from

HOME = "us-east-1"
TOPOLOGY = Topology(read_definition(DEFINITION))
BILLING = TOPOLOGY.subscription("billing")
UNDECODABLE = "not a doorbell"
ORDER = {"order": "o-1", "total_cents": 4200, "currency": "EUR", "card": "tok_visa"}


@pytest.fixture(scope="module")
def zip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(tmp_path_factory.mktemp("zip")) / "task"
    stage_sample(folder, interpreter().platform)
    return folder


@dataclass(frozen=True)
class Behind:
    """The tables and queues behind the functions, and an order that was published."""

    url: str
    clients: Clients
    receipt: Receipt

    @property
    def doorbell(self) -> Doorbell:
        return Doorbell(StreamName("orders"), self.receipt.lane, SequenceNumber(self.receipt.sequence + 1))

    def waiting(self, queue: str) -> list[str]:
        """The bodies of a queue's messages, which are gone then."""
        url = self.clients.sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        messages = self.clients.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        for message in messages:
            self.clients.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return [message["Body"] for message in messages]

    def charges(self) -> list[dict[str, Any]]:
        """The shop's own rows: what the handler did."""
        items: list[Any] = self.clients.dynamodb.scan(TableName="shop-charges")["Items"]
        return items

    def records(self) -> list[dict[str, Any]]:
        """The log's items, as the table's stream has them."""
        items: list[Any] = self.clients.dynamodb.scan(TableName=TOPOLOGY.stream("orders").table.name)["Items"]
        return items


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[Behind]:
    session = boto3.Session("testing", "testing", region_name=HOME)
    with local_up(tmp_path, "--no-deliver", "--definition", str(DEFINITION)) as url:
        clients = Clients(HOME, session=session, endpoint_url=url)
        clients.dynamodb.create_table(
            TableName="shop-charges",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )
        fabric = Fabric.from_definition(DEFINITION, region=HOME, session=session, endpoint_url=url)
        order = Event(key="customer-1", type="OrderPlaced", data=ORDER)
        [receipt] = fabric.publish_many("orders", [order])
        yield Behind(url, clients, receipt)


@pytest.fixture
def start(zip_folder: Path, tmp_path: Path) -> Iterator[Callable[..., Started]]:
    """Starts a function's process; none is left when the test ends."""
    with ExitStack() as stack:

        def starts(function: FunctionTopology, *, entry: str | None = None, url: str = "") -> Started:
            given = environment(function, zip_folder, AWS_ENDPOINT_URL=url or "http://127.0.0.1:9")
            log = tmp_path / f"{function.name}.log"
            return stack.enter_context(started(entry or function.entry, zip_folder, given, log))

        yield starts


def sqs_event(queue: str, *bodies: str) -> dict[str, Any]:
    """Messages as an event source mapping sends them."""
    arn = f"arn:aws:sqs:{HOME}:123456789012:{queue}"
    return {
        "Records": [
            {
                "messageId": f"m{number}",
                "receiptHandle": f"r{number}",
                "body": body,
                "attributes": {
                    "ApproximateReceiveCount": "1",
                    "SentTimestamp": "1790000000000",
                    "SequenceNumber": str(18_850_000_000_000_000_000 + number),
                    "MessageGroupId": "g",
                    "SenderId": "AIDAEXAMPLE",
                    "MessageDeduplicationId": str(number),
                    "ApproximateFirstReceiveTimestamp": "1790000000001",
                },
                "messageAttributes": {},
                "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
                "eventSource": "aws:sqs",
                "eventSourceARN": arn,
                "awsRegion": HOME,
            }
            for number, body in enumerate(bodies)
        ]
    }


def in_json(value: dict[str, Any]) -> dict[str, Any]:
    """An attribute as events have it: bytes in Base64."""
    return {kind: b64encode(it).decode() if kind == "B" else it for kind, it in value.items()}


def stream_event(table: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    """Insertions as a table's stream has them."""
    return {
        "Records": [
            {
                "eventID": f"e{number}",
                "eventName": "INSERT",
                "eventVersion": "1.1",
                "eventSource": "aws:dynamodb",
                "awsRegion": HOME,
                "dynamodb": {
                    "ApproximateCreationDateTime": 1790000000,
                    "Keys": {"pk": item["pk"], "sk": item["sk"]},
                    "NewImage": {name: in_json(value) for name, value in item.items()},
                    "SequenceNumber": str(111_000 + number),
                    "SizeBytes": 200,
                    "StreamViewType": "NEW_AND_OLD_IMAGES",
                },
                "eventSourceARN": f"arn:aws:dynamodb:{HOME}:123456789012:table/{table}/stream/2026-11-23T00:00:00.000",
            }
            for number, item in enumerate(items)
        ]
    }


def test_deliver_handles_what_was_rung_for_and_sends_back_what_it_cannot_read(
    behind: Behind, start: Callable[..., Started]
) -> None:
    function = start(TOPOLOGY.deliver_function("billing", HOME), url=behind.url)
    event = sqs_event(BILLING.queue.name, to_body(behind.doorbell), UNDECODABLE)
    assert function.api.invoke(event) == {"batchItemFailures": [{"itemIdentifier": "m1"}]}
    [charge] = behind.charges()
    assert charge["cents"] == {"N": str(ORDER["total_cents"])}
    # Warm, in the same process: the doorbell again charges nobody again.
    again = function.api.invoke(sqs_event(BILLING.queue.name, to_body(behind.doorbell)))
    assert again == {"batchItemFailures": []}
    assert behind.charges() == [charge]


def test_the_relay_rings_for_the_lane_of_a_record_in_the_queue_of_every_subscription(
    behind: Behind, start: Callable[..., Started]
) -> None:
    function = start(TOPOLOGY.relay_function(HOME), url=behind.url)
    table = TOPOLOGY.stream("orders").table.name
    assert function.api.invoke(stream_event(table, behind.records())) == {"batchItemFailures": []}
    rung = {
        subscription.name: behind.waiting(subscription.queue.name)
        for subscription in TOPOLOGY.subscriptions_in(HOME)
    }
    assert set(map(len, rung.values())) == {1}
    [body] = rung["billing"]
    assert (json.loads(body)["origin"], json.loads(body)["tail"]) == (HOME, behind.receipt.sequence + 1)


def test_the_timer_rings_at_its_time_and_sends_back_what_is_no_doorbell(
    behind: Behind, start: Callable[..., Started]
) -> None:
    function = start(TOPOLOGY.timer_function(HOME), url=behind.url)
    event = sqs_event(BILLING.timers.name, UNDECODABLE, to_body(behind.doorbell, timer_of=BILLING.name))
    assert function.api.invoke(event) == {"batchItemFailures": [{"itemIdentifier": "m0"}]}
    assert behind.waiting(BILLING.queue.name) == [to_body(behind.doorbell)]


def test_reconciliation_passes_over_every_stream_when_its_schedule_says_so(
    behind: Behind, start: Callable[..., Started]
) -> None:
    function = start(TOPOLOGY.reconcile_function(HOME), url=behind.url)
    assert set(function.api.invoke({})["findings"]) == set(TOPOLOGY.streams)


def test_a_backfill_begins_as_the_state_machine_asks_and_what_it_never_asks_is_an_error(
    behind: Behind, start: Callable[..., Started]
) -> None:
    function = start(TOPOLOGY.backfill_function(HOME), url=behind.url)
    source = next(region for region in TOPOLOGY.regions if region != HOME)
    asked = {"stream": "orders", "source": source}
    begun = function.api.invoke({"action": "begin", "name": "run-1", "asked": asked})
    assert begun["more"] is None
    planned = function.api.invoke({"action": "plan", "backfill": begun["backfill"], "more": None})
    assert planned["backfill"] == begun["backfill"]
    refused = function.api.tell({"action": "burn"})
    assert (refused.kind, refused.content["errorType"]) == ("error", "BackfillError")


@pytest.mark.parametrize("name", ["deliver", "relay", "timer"])
def test_a_function_that_the_deployment_tries_loads_itself_and_calls_nobody(
    name: str, start: Callable[..., Started]
) -> None:
    functions = {
        "deliver": TOPOLOGY.deliver_function("billing", HOME),
        "relay": TOPOLOGY.relay_function(HOME),
        "timer": TOPOLOGY.timer_function(HOME),
    }
    function = start(functions[name])  # nobody listens at its endpoint
    answer = function.api.tell(LOAD_ONLY)
    assert (answer.kind, answer.content) == ("response", None)


def test_a_function_whose_handler_is_missing_says_so_when_the_deployment_tries_it(
    zip_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "task"
    shutil.copytree(zip_folder, folder, ignore=shutil.ignore_patterns("billing*"))
    function = TOPOLOGY.deliver_function("billing", HOME)
    with started(function.entry, folder, environment(function, folder), tmp_path / "log") as process:
        answer = process.api.tell(LOAD_ONLY)
    assert (answer.kind, answer.content["errorType"]) == ("error", "HandlerError")
    assert missing_from(answer.content["errorMessage"], "subscribers.billing", "charge") == []


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        ("eventfabric.handlers.absent.handle", "Runtime.ImportModuleError"),
        ("eventfabric.handlers.relay.absent", "Runtime.HandlerNotFound"),
    ],
)
def test_a_handler_that_is_missing_is_reported_before_any_invocation_and_the_process_ends(
    entry: str, kind: str, start: Callable[..., Started]
) -> None:
    function = start(TOPOLOGY.relay_function(HOME), entry=entry)
    answer = function.api.next()
    assert (answer.kind, answer.content["errorType"]) == ("init/error", kind)
    assert function.ended() != 0
