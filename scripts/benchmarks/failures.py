"""One poison event, 100 events of its key behind it, 100 other keys: on eventfabric, and on SQS FIFO with Powertools.

Both run on moto with a clock that only the driver moves, by the rules of SQS and Lambda: batches of ten, a queue that
gives up after three receives, a visibility timeout of 30 seconds if it can be chosen. Results are counts and simulated
seconds, not CPU.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import boto3
from aws_lambda_powertools.utilities.batch import SqsFifoPartialProcessor, process_partial_response
from moto import mock_aws

from eventfabric import Delivery, Event
from eventfabric.definition.file import parse_definition
from eventfabric.testing.local import moto_fixes
from eventfabric.testing.local.clock import LocalClock, seconds_of
from eventfabric.testing.local.fabric import LocalFabric
from scripts.benchmarks.measure import Section, Target
from scripts.benchmarks.null_endpoint import REGION

POISON_KEY, POISON = "poisoned", "poisoned-0"
BEHIND, OTHERS = 100, 100
RECEIVES, VISIBILITY_SECONDS, BATCH = 3, 30, 10
_DEFINITION = f"""
[fabric]
name = "bench"
regions = ["{REGION}"]
[streams.orders]
lanes = 1
[subscriptions.all]
stream = "orders"
handler = "nobody:nothing"
"""


@dataclass
class PoisonedHandler:
    """A handler, with the events that it handled and when. Once it is `mended`, it handles the poison event, too."""

    now: Callable[[], float]
    mended: bool = False
    handled: list[tuple[str, float]] = field(default_factory=list)

    def handle(self, name: str) -> None:
        if name == POISON and not self.mended:
            raise ValueError("poison")
        self.handled.append((name, self.now()))


@dataclass(frozen=True)
class FailuresResult:
    """The result for one of the two systems."""

    innocent_dead: int
    overtook: int
    others_last_seconds: float
    redriven_in_order: bool
    lost: int


def workload(*, poison: bool) -> list[tuple[str, str]]:
    """List key and name of each event, in the order of publishing."""
    behind = [(POISON_KEY, f"{POISON_KEY}-{number}") for number in range(0 if poison else 1, BEHIND + 1)]
    return behind + [(f"other-{number}", f"other-{number}-0") for number in range(OTHERS)]


def eventfabric(*, poison: bool) -> FailuresResult:
    """Run the scenario on a local fabric."""
    clock = LocalClock()
    shop = PoisonedHandler(lambda: seconds_of(clock))

    def handle(event: Event, delivery: Delivery) -> None:
        shop.handle(event.id or "")

    with LocalFabric(parse_definition(_DEFINITION), handlers={"all": handle}, clock=clock) as fabric:
        began, producer = seconds_of(clock), fabric.region(REGION)
        for key, name in workload(poison=poison):
            producer.publish("orders", key=key, type="Placed", id=name)
        fabric.settle(timers=True)
        dead = {letter.parked.failure.event_id for letter in fabric.subscription("all").dead_letters()}
        before = list(shop.handled)
        shop.mended = True
        fabric.subscription("all").redrive()
        fabric.settle(timers=True)
    return _judged(shop, before, dead, began, poison=poison)


def powertools(*, poison: bool) -> FailuresResult:
    """Run the scenario on an SQS FIFO queue whose message groups are keys, with Powertools' SqsFifoPartialProcessor."""
    clock = LocalClock()
    with moto_fixes.applied(now=lambda: seconds_of(clock)), mock_aws():
        sqs = boto3.Session("none", "none").client(
            "sqs", region_name=REGION, config=moto_fixes.client_config()
        )
        dead_url = sqs.create_queue(QueueName="dead.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
        url = _queue(sqs, dead_url)
        shop, began = PoisonedHandler(lambda: seconds_of(clock)), seconds_of(clock)
        for key, name in workload(poison=poison):
            sqs.send_message(QueueUrl=url, MessageBody=name, MessageGroupId=key, MessageDeduplicationId=name)
        _drain(sqs, url, shop, clock)
        before = list(shop.handled)
        shop.mended = True
        dead = _redrive(sqs, dead_url, url)
        _drain(sqs, url, shop, clock)
    return _judged(shop, before, dead, began, poison=poison)


def _queue(sqs: Any, dead_url: str) -> str:
    arn = sqs.get_queue_attributes(QueueUrl=dead_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    attributes = {
        "FifoQueue": "true",
        "VisibilityTimeout": str(VISIBILITY_SECONDS),
        "RedrivePolicy": json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": RECEIVES}),
    }
    return str(sqs.create_queue(QueueName="orders.fifo", Attributes=attributes)["QueueUrl"])


def _drain(sqs: Any, url: str, shop: PoisonedHandler, clock: LocalClock) -> None:
    """Consume a FIFO queue as Lambda's poller does, until no more messages come."""
    processor = SqsFifoPartialProcessor()
    idle = 0
    while idle <= RECEIVES:
        messages = sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=BATCH, MessageSystemAttributeNames=["All"]
        ).get("Messages", [])
        if not messages:
            idle += 1
            clock.advance(VISIBILITY_SECONDS + 1)
            continue
        idle = 0
        records = [
            {
                "messageId": m["MessageId"],
                "body": m["Body"],
                "attributes": m["Attributes"],
                "eventSource": "aws:sqs",
                "receiptHandle": m["ReceiptHandle"],
                "messageAttributes": {},
                "md5OfBody": "",
                "eventSourceARN": "",
                "awsRegion": REGION,
            }
            for m in messages
        ]
        processor.raise_on_entire_batch_failure = False
        answer = process_partial_response(
            event={"Records": records},
            record_handler=lambda record: shop.handle(record.body),
            processor=processor,
        )
        failed = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        for message in messages:
            if message["MessageId"] not in failed:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def _redrive(sqs: Any, dead_url: str, url: str) -> set[str]:
    """Move the dead letters back, as the console's redrive does. Returns their names."""
    dead: set[str] = set()
    while True:
        messages = sqs.receive_message(
            QueueUrl=dead_url, MaxNumberOfMessages=BATCH, MessageSystemAttributeNames=["All"]
        ).get("Messages", [])
        if not messages:
            return dead
        for message in messages:
            name, group = message["Body"], message["Attributes"]["MessageGroupId"]
            dead.add(name)
            sqs.send_message(
                QueueUrl=url,
                MessageBody=name,
                MessageGroupId=group,
                MessageDeduplicationId=f"redriven-{name}",
            )
            sqs.delete_message(QueueUrl=dead_url, ReceiptHandle=message["ReceiptHandle"])


def _judged(
    shop: PoisonedHandler, before: list[tuple[str, float]], dead: set[str], began: float, *, poison: bool
) -> FailuresResult:
    names = [name for name, _ in shop.handled]
    of_key = [int(name.rpartition("-")[2]) for name in names if name.startswith(POISON_KEY)]
    others = [handled_at - began for name, handled_at in shop.handled if name.startswith("other-")]
    return FailuresResult(
        innocent_dead=len(dead - {POISON}),
        overtook=sum(name.startswith(POISON_KEY) for name, _ in before) if poison else 0,
        others_last_seconds=max(others, default=float("inf")),
        redriven_in_order=of_key == sorted(of_key),
        lost=len({name for _, name in workload(poison=poison)} - set(names)),
    )


def bench(*, quick: bool) -> Section:
    """Run the scenario on both. Nothing is timed, so `quick` changes nothing."""
    ours, theirs = eventfabric(poison=True), powertools(poison=True)
    ours_added = ours.others_last_seconds - eventfabric(poison=False).others_last_seconds
    theirs_added = theirs.others_last_seconds - powertools(poison=False).others_last_seconds
    table = [
        ["", "eventfabric", "SQS FIFO + Powertools"],
        ["innocent events dead-lettered", str(ours.innocent_dead), str(theirs.innocent_dead)],
        ["events of the key that overtook it", str(ours.overtook), str(theirs.overtook)],
        ["other keys' added delivery time, seconds", f"{ours_added:.0f}", f"{theirs_added:.0f}"],
        ["key in order after the redrive", _yes(ours.redriven_in_order), _yes(theirs.redriven_in_order)],
        ["events lost", str(ours.lost), str(theirs.lost)],
    ]
    return Section(
        f"failures: one poison event, {BEHIND} of its key behind it, {OTHERS} other keys, batches of {BATCH}",
        [],
        [
            Target("innocent events dead-lettered", ours.innocent_dead, 0, "events"),
            Target("events that overtook it", ours.overtook, 0, "events"),
            Target("other keys' added delivery time", ours_added, 1, "s"),
            Target("key in order after the redrive", float(ours.redriven_in_order), 1, "", at_least=True),
            Target("events lost", ours.lost, 0, "events"),
        ],
        [],
        table,
    )


def _yes(value: bool) -> str:
    return "yes" if value else "no"
