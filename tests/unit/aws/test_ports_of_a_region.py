"""The ports of a Region: whose clients they have, and how they write where a table has no transactions."""

import json
from contextlib import suppress
from dataclasses import replace
from socket import socket
from threading import Barrier, BrokenBarrierError, Lock
from types import SimpleNamespace
from typing import Any, Final

import pytest

from eventfabric import limits
from eventfabric.aws.client import ForkProofClient
from eventfabric.aws.clients import Clients
from eventfabric.aws.dead_queues import DeadQueues
from eventfabric.aws.doorbells import AwsDoorbells
from eventfabric.aws.region import aws_ports
from eventfabric.aws.system import SystemEntropy
from eventfabric.definition.file import parse_definition
from eventfabric.errors import SettingError, UndecodableItemError
from eventfabric.model import START, CommitOutcome, Doorbell, ParkedChange, RaceLost, SequenceNumber
from eventfabric.runtime.threads import Threads
from eventfabric.testing.memory.clock import MemoryClock
from eventfabric.testing.memory.entropy import SeededEntropy
from eventfabric.topology import Topology
from eventfabric.wire.doorbell import from_body, to_body
from tests.support.socket_server import Answer, endpoint, reply, request
from tests.support.stored_items import ITEMS, KEY, LANE, PARKED, items
from tests.unit.aws.test_adapters import (
    EU,
    NOTHING,
    ORDERS,
    SESSION,
    TOPOLOGY,
    URL,
    US,
    asks,
    base64,
    clients_at,
    page,
)


def test_the_ports_of_another_region_ask_there_and_ones_own_are_the_same() -> None:
    ports: Any = aws_ports(
        TOPOLOGY, clients_at("http://127.0.0.1:1"), clock=MemoryClock(), entropy=SeededEntropy(1)
    )
    assert ports.at(US) is ports
    there: Any = ports.at(EU)
    assert there is ports.at(EU)
    assert (there.ledger.region, there.outbox._client.meta.region_name) == (EU, EU)
    assert (there.clock, there.entropy) == (ports.clock, ports.entropy)
    assert there.backfills._region == EU
    assert ports.ledger.acting_for(EU).region == EU
    assert ports.ledger.region == US


def test_threads_that_ask_for_another_region_at_the_same_time_share_its_clients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[object] = []
    all_ask, another = Barrier(4), Barrier(2)

    def slowly(clients: Clients, region: str) -> Clients:
        made.append(region)
        with suppress(BrokenBarrierError):
            another.wait(0.05)  # until another thread does the same, which none must
        return clients

    monkeypatch.setattr(Clients, "of", slowly)
    ports = aws_ports(TOPOLOGY, clients_at("http://127.0.0.1:1"))
    asked: list[object] = []

    def ask() -> None:
        all_ask.wait(5)
        asked.append(ports.at(EU))

    Threads(4)([ask] * 4)
    assert made == [EU]
    assert len({id(given) for given in asked}) == 1


QUORUM: Final = Topology(
    parse_definition(
        """
[fabric]
name = "shop"
regions = ["us-east-1", "eu-west-1", "ap-south-1"]
[streams.orders]
durability = "quorum"
[subscriptions.all]
stream = "orders"
handler = "subscribers.billing:charge"
"""
    )
)


def test_a_table_without_transactions_is_written_item_by_item() -> None:
    for topology, in_order in ((QUORUM, True), (TOPOLOGY, False)):
        requests: list[dict[str, Any]] = []
        with endpoint(asks(requests, NOTHING)) as url:
            ledger = aws_ports(topology, clients_at(url)).ledger
            ledger.commit(KEY, START, START, parked=[ParkedChange(None, PARKED)])
        assert [("TransactItems" in ask) for ask in requests] == ([False] * 3 if in_order else [True])


def test_random_bytes_are_never_given_twice_and_never_fewer_than_asked_for() -> None:
    entropy = SystemEntropy()
    given = [entropy.bytes(count) for count in (16, 1, 100_000, 16, 16)]
    assert [len(value) for value in given] == [16, 1, 100_000, 16, 16]
    assert len({*given}) == 5


REFUSED: Final = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"


def commits_in_order(*answers: dict[str, Any] | None) -> tuple[CommitOutcome, list[list[str]]]:
    """Commit one parked key where these items refuse its writes; return the outcome and the calls that were sent."""
    sent: list[list[str]] = []
    left = list(answers)

    def answer(connection: socket) -> None:
        head, body = request(connection)
        if not body:
            return  # it only wakes the server
        asked = json.loads(body)
        verb = head.partition(b"DynamoDB_20120810.")[2].split()[0].decode()
        sent.append([verb, (asked.get("Item") or asked["Key"])["sk"]["S"].partition("/")[0]])
        refusing = left.pop(0) if left else None
        if refusing is None:
            connection.sendall(reply(b"{}"))
        else:
            refusal = {"__type": REFUSED, "message": "m", "Item": refusing}
            connection.sendall(reply(json.dumps(refusal).encode(), status=400))

    with endpoint(answer) as url:
        ledger = aws_ports(QUORUM, clients_at(url)).ledger
        return ledger.commit(KEY, START, START, parked=[ParkedChange(None, PARKED)]), sent


def test_of_a_commit_item_by_item_a_cursor_in_the_way_tells_that_the_keys_are_written() -> None:
    others = json.loads(json.dumps(items()["cursor"][0], default=base64))
    assert commits_in_order(others) == (RaceLost(), [["PutItem", "us-east-1"]])
    outcome, sent = commits_in_order(None, None, others)
    assert outcome == RaceLost(is_beside_written=True)
    assert [verb for verb, _ in sent] == ["PutItem"] * 3


def test_of_a_commit_item_by_item_a_key_in_the_way_has_what_was_written_taken_back() -> None:
    others = json.loads(json.dumps(items()["parked"][0], default=base64))
    outcome, sent = commits_in_order(None, others)
    assert outcome == RaceLost()
    assert [verb for verb, _ in sent][:2] == ["PutItem"] * 2
    assert {verb for verb, _ in sent[2:]} <= {"DeleteItem"}


def test_a_list_of_backfills_tells_of_those_that_cannot_be_read_and_leaves_them_out() -> None:
    broken = {**ITEMS["backfill"][0], "f": {"S": "[]"}}
    errors: list[UndecodableItemError] = []
    with endpoint(page(broken, ITEMS["backfill"][0])) as url:
        backfills = aws_ports(TOPOLOGY, clients_at(url)).backfills
        assert len(backfills.all(unreadable=errors.append)) == 1
        with pytest.raises(UndecodableItemError):
            backfills.all()
    assert [error.field for error in errors] == ["f"]


def queues(into: list[tuple[str, dict[str, Any]]], received: list[dict[str, Any]]) -> Answer:
    """SQS with one dead-letter queue of these messages, which takes whatever is sent."""
    left = list(received)

    def answer(connection: socket) -> None:
        head, body = request(connection)
        if not body:
            return  # it only wakes the server
        name = head.partition(b"AmazonSQS.")[2].split()[0].decode()
        asked = json.loads(body)
        into.append((name, asked))
        messages, left[:] = [*left], []
        results = {
            "GetQueueUrl": {"QueueUrl": f"http://127.0.0.1/{asked.get('QueueName')}"},
            "ReceiveMessage": {"Messages": messages} if messages else {},
            "SendMessageBatch": {"Successful": [{"Id": "0"}]},
        }
        if name != "ReceiveMessage":
            left[:] = messages
        connection.sendall(reply(json.dumps(results.get(name, {})).encode()))

    return answer


def test_a_dead_doorbell_is_rung_anew_and_then_deleted_and_what_is_none_stays() -> None:
    bell = Doorbell(ORDERS, LANE, SequenceNumber(5))
    requests: list[tuple[str, dict[str, Any]]] = []
    dead = [
        {"MessageId": "a", "ReceiptHandle": "ra", "Body": to_body(bell)},
        {"MessageId": "b", "ReceiptHandle": "rb", "Body": "no doorbell"},
    ]
    clock = MemoryClock()
    with endpoint(queues(requests, dead)) as url:
        clients = clients_at(url)
        ports = aws_ports(TOPOLOGY, clients, clock=clock)
        dead_queues = DeadQueues(clients.sqs, ports.doorbells, clock)
        assert dead_queues.redrive([TOPOLOGY.subscription("all")]) == {"all": 1}
    calls = [name for name, _ in requests]
    empty = ["ReceiveMessage"] * limits.QUEUE_EMPTY_ANSWERS
    ringing = ["GetQueueUrl", "SendMessageBatch", "DeleteMessage"]
    assert calls == ["GetQueueUrl", "ReceiveMessage", *ringing, *empty, "GetQueueUrl", *empty]
    of_queue = dict(requests)
    assert of_queue["DeleteMessage"] == {
        "QueueUrl": "http://127.0.0.1/shop-all-dead.fifo",
        "ReceiptHandle": "ra",
    }
    (entry,) = of_queue["SendMessageBatch"]["Entries"]
    assert of_queue["SendMessageBatch"]["QueueUrl"] == "http://127.0.0.1/shop-all.fifo"
    assert from_body(entry["MessageBody"]) == replace(bell, again=clock.now_ms())
    received = of_queue["ReceiveMessage"]
    assert (received["MaxNumberOfMessages"], received["WaitTimeSeconds"]) == (10, limits.QUEUE_WAIT_SECONDS)


def test_a_dead_doorbell_that_cannot_be_rung_stays() -> None:
    requests: list[tuple[str, dict[str, Any]]] = []
    dead = [
        {"MessageId": "a", "ReceiptHandle": "ra", "Body": to_body(Doorbell(ORDERS, LANE, SequenceNumber(5)))}
    ]
    with endpoint(queues(requests, dead)) as url:
        clients = clients_at(url)
        refuses = AwsDoorbells(clients_at("http://127.0.0.1:1").sqs, str, str)
        dead_queues = DeadQueues(clients.sqs, refuses, MemoryClock())
        assert dead_queues.redrive([TOPOLOGY.subscription("all")]) == {}
    assert "DeleteMessage" not in [name for name, _ in requests]


def test_messages_that_wait_and_those_in_hands_are_counted_in_a_dead_letter_queue() -> None:
    answer = {
        "Attributes": {"ApproximateNumberOfMessages": "3", "ApproximateNumberOfMessagesNotVisible": "4"}
    }
    requests: list[dict[str, Any]] = []
    with endpoint(asks(requests, URL, answer, URL, answer)) as url:
        clients = clients_at(url)
        dead_queues = DeadQueues(clients.sqs, AwsDoorbells(clients.sqs, str, str), MemoryClock())
        assert dead_queues.count(TOPOLOGY.subscription("all")) == 7
        assert dead_queues.count_timers(TOPOLOGY) == 7
    assert [ask["QueueName"] for ask in requests if "QueueName" in ask] == [
        "shop-all-dead.fifo",
        "shop-timers-dead",
    ]
    assert {tuple(sorted(ask["AttributeNames"])) for ask in requests if "AttributeNames" in ask} == {
        tuple(sorted(answer["Attributes"]))
    }


def test_what_a_forked_child_asks_of_a_client_makes_it_another_once_with_locks_of_its_own() -> None:
    class Session:
        """Its credentials have a lock that somebody in the parent held."""

        held = Lock()
        credentials = SimpleNamespace(_refresh_lock=held)

        def get_credentials(self) -> Any:
            return self.credentials

    session: Any = Session()
    made: list[Any] = []

    def make() -> Any:
        made.append(SESSION.client("sqs", region_name=US, endpoint_url="http://127.0.0.1:1"))
        return made[-1]

    client = ForkProofClient(make, session=session, seconds_max=5)
    assert client.meta is made[0].meta
    client._forget()
    assert len(made) == 1, "nothing is made before it is asked for"
    assert client.meta is made[1].meta
    assert client.exceptions is made[1].exceptions
    assert (len(made), session.credentials._refresh_lock is not Session.held) == (2, True)
    session.credentials = object()
    client._forget()
    assert client.meta is made[2].meta


@pytest.mark.parametrize("address", ["nowhere", "http://[::1", "http://localhost:99999"])
def test_an_address_in_the_environment_that_is_none_is_named(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    with pytest.raises(SettingError, match="AWS_ENDPOINT_URL"):
        Clients(US, session=SESSION)
