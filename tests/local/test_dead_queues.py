"""Redriving dead-letter queues: one empty answer of a queue does not say that it is empty."""

import signal
import threading
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from eventfabric.aws.clients import Clients
from eventfabric.aws.dead_queues import DeadQueues
from eventfabric.definition.file import parse_definition
from eventfabric.model import ANY_TAIL, Doorbell
from eventfabric.services.lanes.standing import lanes_of
from eventfabric.testing.local.fabric import LocalFabric
from eventfabric.wire.doorbell import from_body, to_body

US = "us-east-1"
DEFINITION = f"""
[fabric]
name = "shop"
regions = ["{US}"]
[streams.orders]
lanes = 4
durability = "regional"
[subscriptions.all]
stream = "orders"
handler = "subscribers.billing:charge"
"""


@pytest.fixture
def fabric() -> Iterator[LocalFabric]:
    with LocalFabric(parse_definition(DEFINITION), handlers={"all": print}) as fabric:
        client = fabric.client("sqs", US)
        url = client.get_queue_url(QueueName="shop-all-dead.fifo")["QueueUrl"]
        for number, lane in enumerate(lanes_of(fabric.topology.stream("orders"))[:3]):
            body = to_body(Doorbell(fabric_stream(fabric), lane, ANY_TAIL))
            client.send_message(
                QueueUrl=url, MessageBody=body, MessageGroupId=str(lane), MessageDeduplicationId=str(number)
            )
        yield fabric


def fabric_stream(fabric: LocalFabric) -> Any:
    return fabric.topology.stream("orders").name


class Sampled:
    """A queue's client whose answers may be those of a few servers, where nobody waits; the first of all is empty."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.waits: list[int] = []

    def receive_message(self, **request: Any) -> Any:
        self.waits.append(request.get("WaitTimeSeconds", 0))
        if len(self.waits) == 1 or not self.waits[-1]:
            return {}
        return self._client.receive_message(**{**request, "WaitTimeSeconds": 0})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def test_all_doorbells_are_rung_though_the_first_answer_was_empty(fabric: LocalFabric) -> None:
    ports, subscription = fabric.ports(US), fabric.topology.subscription("all")
    client = Sampled(Clients(US).sqs)
    queues = DeadQueues(client, ports.doorbells, ports.clock)  # type: ignore[arg-type]  # what it uses of one
    assert queues.count(subscription) == 3
    assert queues.redrive([subscription]) == {"all": 3}
    assert (queues.count(subscription), min(client.waits)) == (0, 1)
    live = fabric.client("sqs", US)
    url = live.get_queue_url(QueueName="shop-all.fifo")["QueueUrl"]
    messages = live.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert {from_body(message["Body"]).again for message in messages} == {ports.clock.now_ms()}


def test_what_is_in_somebodys_hands_is_counted_too(fabric: LocalFabric) -> None:
    ports, subscription = fabric.ports(US), fabric.topology.subscription("all")
    client = fabric.client("sqs", US)
    url = client.get_queue_url(QueueName="shop-all-dead.fifo")["QueueUrl"]
    client.receive_message(QueueUrl=url, MaxNumberOfMessages=2)
    queues = DeadQueues(Clients(US).sqs, ports.doorbells, ports.clock)
    assert queues.count(subscription) == 3


def test_what_comes_again_because_it_is_left_in_the_queue_is_not_received_for_ever(
    fabric: LocalFabric,
) -> None:
    ports, subscription = fabric.ports(US), fabric.topology.subscription("all")
    left = {"MessageId": "left", "Body": "no doorbell", "ReceiptHandle": "none"}

    class Again(Sampled):
        """Queue that holds a message which is visible again at once."""

        def receive_message(self, **request: Any) -> Any:
            assert len(self.waits) < 30, "it would go on for ever"
            answer = super().receive_message(**request)
            return {"Messages": [left, *answer.get("Messages", [])]}

    queues = DeadQueues(Again(Clients(US).sqs), ports.doorbells, ports.clock)  # type: ignore[arg-type]  # as above
    assert queues.redrive([subscription]) == {"all": 3}


class Endless:
    """A client of queues that never become empty, of which the fifth answer comes with Ctrl-C."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def get_queue_url(self, **request: Any) -> Any:
        return {"QueueUrl": request["QueueName"]}

    def receive_message(self, **request: Any) -> Any:
        number = next(self._numbers)
        if number == 5:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        return {"Messages": [{"MessageId": str(number), "Body": "no doorbell", "ReceiptHandle": "none"}]}


def test_ctrl_c_ends_what_empties_queues_side_by_side(fabric: LocalFabric) -> None:
    ports, subscription = fabric.ports(US), fabric.topology.subscription("all")
    queues = DeadQueues(Endless(), ports.doorbells, ports.clock)  # type: ignore[arg-type]  # what it uses of one
    before = threading.enumerate()
    with pytest.raises(KeyboardInterrupt):
        queues.redrive([subscription, subscription])
    for thread in set(threading.enumerate()).difference(before):
        thread.join(5)
        assert not thread.is_alive()
