"""The adapters of AWS: failures name the call, lists are read to their end, clients ask where they should."""

import json
from base64 import b64encode
from collections.abc import Callable
from socket import socket
from typing import Any, Final, cast

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from eventfabric import limits
from eventfabric.aws.clients import CONFIG, Clients, cancellation
from eventfabric.aws.dead_queues import DeadQueues
from eventfabric.aws.region import aws_ports
from eventfabric.definition.file import parse_definition
from eventfabric.errors import LastingError, PortError
from eventfabric.model import (
    START,
    Circuit,
    Doorbell,
    HybridTime,
    Intervention,
    Mark,
    Marks,
    Owner,
    Region,
    SameItemTwice,
    SequenceNumber,
    StepKey,
    StreamName,
    SubscriptionName,
)
from eventfabric.model.pass_progress import PassProgress
from eventfabric.ports import Doorbells, Ports
from eventfabric.topology import Topology
from eventfabric.version import VERSION
from eventfabric.wire.service_errors import Refusal
from tests.support.messages import TextWith
from tests.support.socket_server import Answer, endpoint, error, reply, request
from tests.support.stored_items import BACKFILL, ITEMS, KEY, LANE, RECORD, SLICE

SESSION: Final = boto3.Session("local", "local")
US: Final = Region("us-east-1")
EU: Final = Region("eu-west-1")
ORDERS: Final = StreamName("orders")
ALL: Final = SubscriptionName("all")
STEP: Final = StepKey(ORDERS, ALL, "charge", "/s", "e1")
TOPOLOGY: Final = Topology(
    parse_definition(
        """
[fabric]
name = "shop"
regions = ["us-east-1", "eu-west-1"]
[streams.orders]
[subscriptions.all]
stream = "orders"
handler = "subscribers.billing:charge"
"""
    )
)
OPERATOR: Final = Intervention(LANE, SequenceNumber(4), "me", "far", 1)
CALLS: Final[dict[str, tuple[str, Callable[[Ports], object]]]] = {
    "tail": ("read the tail", lambda ports: log(ports).tail(LANE)),
    "recent": ("read the tail", lambda ports: log(ports).recent(LANE, records_max=2)),
    "place": ("read the tail", lambda ports: log(ports).place(LANE)),
    "hold_place": ("hold a lane's place", lambda ports: log(ports).hold_place(LANE, RECORD.tail)),
    "note": ("note an intervention", lambda ports: log(ports).note(OPERATOR)),
    "set_aside": ("set an item aside", lambda ports: log(ports).set_aside(OPERATOR)),
    "interventions": ("read what operators did", lambda ports: log(ports).interventions(LANE)),
    "append": ("append", lambda ports: log(ports).append(RECORD)),
    "read": ("read the log", lambda ports: log(ports).read(LANE, SequenceNumber(0), records_max=2)),
    "append in a transaction": (
        "append",
        lambda ports: ports.outbox.append([("t", RECORD)], [], token=b"t" * 16),
    ),
    "state": ("read the ledger", lambda ports: ports.ledger.state(KEY)),
    "look_up": ("look up a parked key", lambda ports: ports.ledger.look_up(KEY, [b"d" * 16])),
    "settled": ("read decisions", lambda ports: list(ports.ledger.settled(KEY))),
    "commit": ("commit", lambda ports: ports.ledger.commit(KEY, START, START)),
    "standing": ("read the circuit", lambda ports: ports.ledger.standing(ORDERS, ALL)),
    "switch": ("switch the circuit", lambda ports: ports.ledger.switch(ORDERS, ALL, Circuit(), Circuit())),
    "hand_over": (
        "hand lanes over",
        lambda ports: ports.ledger.hand_over(ORDERS, ALL, None, Owner(US, US, 1, US)),
    ),
    "pin": ("pin the start", lambda ports: ports.ledger.pin(ORDERS, ALL, HybridTime(5))),
    "see": ("note a look", lambda ports: ports.ledger.see(ORDERS, ALL)),
    "progress": ("read a pass's progress", lambda ports: ports.ledger.progress(ORDERS)),
    "note_pass": (
        "note a pass's progress",
        lambda ports: ports.ledger.note_pass(ORDERS, PassProgress(), PassProgress("us-east-1/0000")),
    ),
    "marks": ("read the marks", lambda ports: ports.ledger.marks(ORDERS, US)),
    "mark": (
        "mark",
        lambda ports: ports.ledger.mark(
            ORDERS, US, Marks(), Marks({LANE.index: Mark(RECORD.tail.sequence, RECORD.tail.chain)})
        ),
    ),
    "all": ("list backfills", lambda ports: ports.backfills.all()),
    "find": ("read a backfill", lambda ports: ports.backfills.find("b1")),
    "replace": ("write a backfill", lambda ports: ports.backfills.replace(None, BACKFILL)),
    "add": ("note a slice", lambda ports: ports.backfills.add("b1", [SLICE])),
    "save": ("save a slice", lambda ports: ports.backfills.save("b1", SLICE)),
    "slice": ("read a slice", lambda ports: ports.backfills.slice("b1", LANE, SequenceNumber(0))),
    "slices": ("list slices", lambda ports: ports.backfills.slices("b1", after=None, count=2)),
    "begin": ("begin a step", lambda ports: steps(ports).begin(STEP)),
    "finish": ("finish a step", lambda ports: steps(ports).finish(STEP, "1")),
    "forget": ("forget a step", lambda ports: steps(ports).forget(STEP)),
    "release": ("release a step", lambda ports: steps(ports).release(STEP)),
    "look": ("look at a step", lambda ports: steps(ports).look(STEP)),
}


def clients_at(url: str) -> Clients:
    return Clients(US, session=SESSION, endpoint_url=url)


def log(ports: Ports) -> Any:
    return ports.log_of(TOPOLOGY.stream(ORDERS))


def steps(ports: Ports) -> Any:
    return ports.steps_of(TOPOLOGY.stream(ORDERS))


@pytest.mark.parametrize("call", CALLS)
def test_a_failure_names_the_call(call: str) -> None:
    operation, make = CALLS[call]
    with (
        endpoint(error("AccessDeniedException", "no")) as url,
        pytest.raises(LastingError, match="AccessDeniedException: no") as raised,
    ):
        make(aws_ports(TOPOLOGY, clients_at(url)))
    assert raised.value.operation == operation


def test_a_failure_of_dead_letter_queues_names_the_call() -> None:
    subscription = TOPOLOGY.subscription(ALL)
    url_of_queue = reply(b'{"QueueUrl":"http://127.0.0.1/q"}')
    calls: tuple[tuple[Callable[[DeadQueues], object], str], ...] = (
        (lambda queues: queues.count(subscription), "count dead doorbells"),
        (lambda queues: queues.count_timers(TOPOLOGY), "count dead doorbells"),
        (lambda queues: queues.redrive([subscription]), "receive dead doorbells"),
    )
    for call, operation in calls:
        with endpoint(url_of_queue, error("AccessDenied")) as url:
            clients = clients_at(url)
            ports = aws_ports(TOPOLOGY, clients)
            with pytest.raises(LastingError) as raised:
                call(DeadQueues(clients.sqs, ports.doorbells, ports.clock))
            assert raised.value.operation == operation
        with endpoint(error("AWS.SimpleQueueService.NonExistentQueue")) as url:
            clients = clients_at(url)
            with pytest.raises(LastingError) as raised:
                call(DeadQueues(clients.sqs, ports.doorbells, ports.clock))
            assert raised.value.operation == "find a dead-letter queue"


def page(*items: Any, more: bool = False) -> bytes:
    return reply(
        json.dumps(
            {"Items": items, **({"LastEvaluatedKey": items[-1]} if more else {})}, default=base64
        ).encode()
    )


def base64(content: bytes) -> str:
    return b64encode(content).decode()


def of(kind: str, **changes: Any) -> Any:
    return {**ITEMS[kind][0], **changes}


LISTS: Final[dict[str, tuple[Any, Any, Callable[[Ports], Any]]]] = {
    "all": (of("backfill"), of("backfill"), lambda ports: ports.backfills.all()),
    "interventions": (of("aside"), of("aside"), lambda ports: log(ports).interventions(LANE)),
    "settled": (of("settled"), of("settled"), lambda ports: list(ports.ledger.settled(KEY))),
    "state": (
        of("cursor"),
        of("cursor", sk={"S": "eu-west-1/cursor"}),
        lambda ports: list(ports.ledger.state(KEY).cursors),
    ),
    "marks": (
        of("marks"),
        of("cursors of marks"),
        lambda ports: [
            name
            for mark in ports.ledger.marks(ORDERS, US).lanes.values()
            for name in ("a mark", *mark.cursors)
        ],
    ),
}


@pytest.mark.parametrize("call", LISTS)
def test_a_list_is_read_to_its_end(call: str) -> None:
    first, second, make = LISTS[call]
    with endpoint(page(first, more=True), page(second)) as url:
        assert len(make(aws_ports(TOPOLOGY, clients_at(url)))) == 2


def test_the_clients_of_another_region_are_less_patient_and_otherwise_the_same() -> None:
    given, ours = Config(user_agent_extra="mine", read_timeout=60), cast(Any, CONFIG)
    session = boto3.Session("local", "local")
    here = Clients(US, session=session, endpoint_url="http://127.0.0.1:1", config=given)
    there = here.of(EU)
    for client in (there.dynamodb, there.sqs):
        assert client.meta.region_name == EU
        assert client.meta.endpoint_url == "http://127.0.0.1:1"
        config: Any = client.meta.config
        assert config.retries == {"mode": "standard", "total_max_attempts": 2}
        assert (config.connect_timeout, config.read_timeout) == (1, 2.5)
        assert config.user_agent.startswith(ours.user_agent)
        assert config.user_agent_extra == "mine"
    assert ours.user_agent_extra == f"eventfabric/{VERSION}"
    assert cast(Any, here.dynamodb.meta.config).read_timeout == 60
    assert there._call_seconds_max == limits.CALL_AWAY_SECONDS < limits.CALL_SECONDS == here._call_seconds_max
    plain: Any = Clients(US, session=session, endpoint_url="http://127.0.0.1:1").of(EU).dynamodb.meta.config
    assert (plain.connect_timeout, plain.read_timeout) == (1, 2.5)


def test_a_cancelled_transaction_says_why_each_action_was_refused() -> None:
    reasons: list[Any] = [
        {"Code": "None"},
        {"Code": "ConditionalCheckFailed", "Message": "no", "Item": {"pk": {"S": "a"}}},
        {},
    ]
    response: Any = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}
    assert cancellation(ClientError(response, "TransactWriteItems")) == [
        Refusal("None", "", None),
        Refusal("ConditionalCheckFailed", "no", {"pk": {"S": "a"}}),
        Refusal("None", "", None),
    ]
    for other in ({"Error": {"Code": "ValidationException"}}, {}):
        assert cancellation(ClientError(other, "TransactWriteItems")) is None  # type: ignore[arg-type]  # a plain dict


def asks(into: list[dict[str, Any]], *answers: dict[str, Any]) -> Answer:
    """Keeps each request, and gives these answers in turn, the last one again and again."""
    left = list(answers)

    def answer(connection: socket) -> None:
        _, body = request(connection)
        if not body:
            return  # it only wakes the server
        into.append(json.loads(body))
        connection.sendall(reply(json.dumps(left.pop(0) if len(left) > 1 else left[0]).encode()))

    return answer


NOTHING: Final[dict[str, Any]] = {"Items": [], "Attributes": {}}
TABLES: Final = {
    "shop-orders": [
        "tail",
        "recent",
        "place",
        "hold_place",
        "note",
        "set_aside",
        "interventions",
        "append",
        "read",
    ],
    "t": ["append in a transaction"],
    "shop-ledger": [
        *(
            "state",
            "look_up",
            "settled",
            "commit",
            "standing",
            "switch",
            "hand_over",
            "pin",
            "see",
            "marks",
            "mark",
        ),
        *("all", "find", "replace", "add", "save", "slice", "slices"),
        *("begin", "finish", "forget", "release", "look"),
    ],
}


@pytest.mark.parametrize(
    ("table", "call"), [(table, call) for table, calls in TABLES.items() for call in calls]
)
def test_a_call_asks_the_table_that_the_fabric_has_for_it(table: str, call: str) -> None:
    requests: list[dict[str, Any]] = []
    with endpoint(asks(requests, NOTHING)) as url:
        CALLS[call][1](aws_ports(TOPOLOGY, clients_at(url)))
    transactions = [
        request for ask in requests for action in ask.get("TransactItems", ()) for request in action.values()
    ]
    assert {ask["TableName"] for ask in (*(transactions or requests),)} == {table}


def test_what_is_set_aside_is_put_elsewhere_whole_before_it_is_deleted() -> None:
    requests: list[dict[str, Any]] = []
    stood = json.loads(json.dumps(of("record"), default=base64))
    with endpoint(asks(requests, {"Items": [stood]}, {})) as url:
        log(aws_ports(TOPOLOGY, clients_at(url))).set_aside(OPERATOR)
    _, put, delete = requests
    assert {name: put["Item"][name] for name in stood if name not in ("pk", "sk")} == {
        name: value for name, value in stood.items() if name not in ("pk", "sk")
    }
    assert put["Item"]["pk"] != stood["pk"]
    assert delete["Key"] == {"pk": {"S": str(LANE)}, "sk": {"N": "4"}}


BELLS: Final = [Doorbell(ORDERS, LANE, SequenceNumber(number)) for number in (1, 2, 3)]
URL: Final = {"QueueUrl": "http://127.0.0.1/q"}
VERBS: Final[dict[str, tuple[str, str, Callable[[Doorbells], object]]]] = {
    "ring": ("shop-all.fifo", "ring", lambda bells: bells.ring(ALL, BELLS)),
    "answer": ("shop-all.fifo", "answer", lambda bells: bells.answer(ALL, ["a", "b"])),
    "hide": ("shop-all.fifo", "hide", lambda bells: bells.hide(ALL, ["a", "b"], 7)),
    "ring_later": ("shop-timers", "ring later", lambda bells: bells.ring_later(ALL, BELLS[0], 7)),
    "put_off": ("shop-timers", "put off", lambda bells: bells.put_off(ALL, {"a": 7, "b": 8})),
}


@pytest.mark.parametrize("verb", VERBS)
def test_doorbells_are_asked_of_their_queue_each_entry_by_an_id_of_its_own(verb: str) -> None:
    queue, _, make = VERBS[verb]
    requests: list[dict[str, Any]] = []
    with endpoint(asks(requests, URL, {"MessageId": "m"})) as url:
        make(aws_ports(TOPOLOGY, clients_at(url)).doorbells)
    name, request = requests
    assert name == {"QueueName": queue}
    entries = request.get("Entries", ())
    assert [entry["Id"] for entry in entries] == [str(number) for number in range(len(entries))]


@pytest.mark.parametrize("verb", VERBS)
def test_a_refusal_of_doorbells_is_logged_with_verb_subscription_and_code(
    verb: str, caplog: pytest.LogCaptureFixture
) -> None:
    _, words, make = VERBS[verb]
    with endpoint(error("AccessDenied")) as url:
        make(aws_ports(TOPOLOGY, clients_at(url)).doorbells)
    assert [record.getMessage() for record in caplog.records] == [
        TextWith(f"{words} doorbells", f"{ALL}", "AccessDenied")
    ]


def test_doorbells_that_the_queue_refuses_one_by_one_are_returned_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answer = {
        "Successful": [{"Id": "1"}],
        "Failed": [{"Id": "0", "Code": "Throttled"}, {"Id": "2", "Code": "InternalError"}],
    }
    with endpoint(asks([], URL, answer)) as url:
        left = aws_ports(TOPOLOGY, clients_at(url)).doorbells.ring(ALL, BELLS)
    assert left == [BELLS[0], BELLS[2]]
    assert [record.getMessage() for record in caplog.records] == [
        TextWith("ring doorbells", f"{ALL}", "InternalError, Throttled")
    ]


def test_doorbells_of_which_one_cannot_be_sent_are_sent_one_by_one(caplog: pytest.LogCaptureFixture) -> None:
    refused, sent = error("InvalidMessageContents"), reply(b'{"Successful":[{"Id":"0"}]}')
    answer = reply(json.dumps(URL).encode())
    with endpoint(answer, refused, sent, refused, sent) as url:
        left = aws_ports(TOPOLOGY, clients_at(url)).doorbells.ring(ALL, BELLS)
    assert left == [BELLS[1]]
    assert [record.getMessage() for record in caplog.records] == [
        TextWith("ring doorbells", f"{ALL}", "InvalidMessageContents")
    ]


def test_writes_of_one_item_twice_are_distinguished_from_other_refusals() -> None:
    twice = "Transaction request cannot include multiple operations on one item"
    for code, message, is_twice in (
        ("ValidationException", twice, True),
        ("ValidationException", "One or more parameter values were invalid", False),
        ("AccessDeniedException", twice, False),
    ):
        with endpoint(error(code, message)) as url:
            outbox = aws_ports(TOPOLOGY, clients_at(url)).outbox
            try:
                outcome: object = outbox.append([("t", RECORD)], [], token=b"t" * 16)
            except PortError as refusal:
                outcome = refusal
        assert isinstance(outcome, SameItemTwice) is is_twice
