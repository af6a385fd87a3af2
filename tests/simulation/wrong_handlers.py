"""Handlers of all kinds, right and wrong, for the simulation of handlers to tell apart; and what they need outside."""

import json
import os
import time
import uuid
from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from eventfabric import Delivery, Event, Step, subscriber
from eventfabric.testing.idempotency.outside import Outside
from eventfabric.testing.simulation.acting import effect

TABLE, MAILS, ORDERED_MAILS = "rows", "mails", "mails.fifo"


def client(service: str) -> Any:
    """The client of the Region that the handler runs in: kept from one run to the next, it would be of the first's."""
    return _client_of(service, os.environ["AWS_DEFAULT_REGION"])


@cache
def _client_of(service: str, region: str) -> Any:
    make: Callable[..., Any] = boto3.client
    return make(service, region_name=region)


class Bank:
    """Charges by key; says whether it did. Forgets nothing until the next run."""

    charged: ClassVar[set[str]] = set()

    @classmethod
    def charge(cls, key: str) -> None:
        effect("charge", key=key)
        cls.charged.add(key)

    @classmethod
    def was_charged(cls, step: Step) -> bool:
        return step.key in cls.charged


def make(outside: Outside) -> None:
    Bank.charged.clear()
    for region in outside.regions:
        outside.client("dynamodb", region).create_table(
            TableName=TABLE,
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        sqs = outside.client("sqs", region)
        sqs.create_queue(QueueName=MAILS)
        sqs.create_queue(QueueName=ORDERED_MAILS, Attributes={"FifoQueue": "true"})


def _update(event: Event, expression: str, **values: dict[str, str]) -> None:
    client("dynamodb").update_item(
        TableName=TABLE,
        Key={"id": {"S": event.key}},
        UpdateExpression=expression,
        ExpressionAttributeValues={f":{name}": value for name, value in values.items()},
    )


def _put(id_: str, **attributes: str) -> None:
    item = {"id": {"S": id_}, **{name: {"S": value} for name, value in attributes.items()}}
    client("dynamodb").put_item(TableName=TABLE, Item=item)


@subscriber
def adds_up(event: Event, delivery: Delivery) -> None:
    _update(event, "ADD n :one", one={"N": "1"})


@subscriber
def appends(event: Event, delivery: Delivery) -> None:
    client("dynamodb").update_item(
        TableName=TABLE,
        Key={"id": {"S": event.key}},
        UpdateExpression="SET seen = list_append(if_not_exists(seen, :none), :new)",
        ExpressionAttributeValues={":none": {"L": []}, ":new": {"L": [{"S": str(event.id)}]}},
    )


@subscriber
def puts_under_a_new_id(event: Event, delivery: Delivery) -> None:
    _put(str(uuid.uuid4()), of=str(event.id))


@subscriber
def sends(event: Event, delivery: Delivery) -> None:
    sqs = client("sqs")
    url = sqs.get_queue_url(QueueName=MAILS)["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody=json.dumps(event.data))


@subscriber
def calls_without_a_key(event: Event, delivery: Delivery) -> None:
    effect("charge")


@subscriber
def swallows_what_fails(event: Event, delivery: Delivery) -> None:
    try:
        _put(str(event.id), type=event.type)
    except (BotoCoreError, ClientError):
        return


@subscriber(batch=10)
def sends_for_many(events: list[Event], delivery: Delivery) -> None:
    sqs = client("sqs")
    url = sqs.get_queue_url(QueueName=MAILS)["QueueUrl"]
    entries = [{"Id": str(number), "MessageBody": str(event.id)} for number, event in enumerate(events)]
    sqs.send_message_batch(QueueUrl=url, Entries=entries)


@subscriber
def steps_without_verify_and_twice(event: Event, delivery: Delivery) -> None:
    effect("mail")
    with delivery.once("charge", verify=Bank.was_charged) as step:
        if not step.done:
            Bank.charge(step.key)


@subscriber
def extends_the_paid_time(event: Event, delivery: Delivery) -> None:
    """A month from today, or from when what was paid ends: a repetition gives away another."""
    _update(
        event,
        "SET paid_until = if_not_exists(paid_until, :today) + :month",
        today={"N": str(int(time.time()) // 86_400 * 86_400)},
        month={"N": str(30 * 86_400)},
    )


@subscriber
def asks_for_the_address_again(event: Event, delivery: Delivery) -> None:
    client("ses").verify_email_identity(EmailAddress=f"{event.key}@shop.test")


@subscriber
def counts_in_a_parameter(event: Event, delivery: Delivery) -> None:
    ssm = client("ssm")
    try:
        count = int(ssm.get_parameter(Name="count")["Parameter"]["Value"])
    except ssm.exceptions.ParameterNotFound:
        count = 0
    ssm.put_parameter(Name="count", Value=str(count + 1), Type="String", Overwrite=True)


WRONG: dict[str, tuple[Callable[..., Any], str]] = {
    "adds_up": (adds_up, "taker: dynamodb rows: n"),
    "appends": (appends, "taker: dynamodb rows: seen"),
    "puts_under_a_new_id": (puts_under_a_new_id, "taker: dynamodb rows: items"),
    "sends": (sends, "taker: sqs SendMessage mails"),
    "sends_for_many": (sends_for_many, "taker: sqs SendMessageBatch mails"),
    "calls_without_a_key": (calls_without_a_key, "taker: charge"),
    "swallows_what_fails": (swallows_what_fails, "taker: dynamodb rows: items"),
    "steps_without_verify_and_twice": (steps_without_verify_and_twice, "taker: mail"),
    "asks_for_the_address_again": (asks_for_the_address_again, "taker: ses VerifyEmailIdentity"),
    "counts_in_a_parameter": (counts_in_a_parameter, "taker: ssm PutParameter count"),
    "extends_the_paid_time": (extends_the_paid_time, "taker: dynamodb rows: paid_until"),
}
"""Handlers under at_least_once, and the effect of each that is not idempotent."""


@subscriber
def puts_by_the_events_id(event: Event, delivery: Delivery) -> None:
    _put(str(event.id), type=event.type)


@subscriber
def notes_when(event: Event, delivery: Delivery) -> None:
    _put(str(event.id), type=event.type, at_ns=str(time.perf_counter_ns()))


@subscriber
def puts_once(event: Event, delivery: Delivery) -> None:
    item = {"id": {"S": str(event.id)}, "n": {"N": "1"}}
    try:
        client("dynamodb").put_item(
            TableName=TABLE, Item=item, ConditionExpression="attribute_not_exists(id)"
        )
    except client("dynamodb").exceptions.ConditionalCheckFailedException:
        return


@subscriber
def charges_by_key(event: Event, delivery: Delivery) -> None:
    effect("charge", key=str(event.id))


def _send_in_order(region: str, event: Event) -> None:
    sqs = _client_of("sqs", region)
    sqs.send_message(
        QueueUrl=sqs.get_queue_url(QueueName=ORDERED_MAILS)["QueueUrl"],
        MessageBody=str(event.id),
        MessageGroupId=event.key,
        MessageDeduplicationId=str(event.id),
    )


@subscriber
def sends_to_one_region(event: Event, delivery: Delivery) -> None:
    _send_in_order("us-east-1", event)


@subscriber
def sends_in_order(event: Event, delivery: Delivery) -> None:
    _send_in_order(os.environ["AWS_DEFAULT_REGION"], event)


@subscriber
def charges_in_a_step(event: Event, delivery: Delivery) -> None:
    with delivery.once("charge", verify=Bank.was_charged) as step:
        if not step.done:
            Bank.charge(step.key)


def notes(event: Event, **attributes: str) -> None:
    _put(str(event.id), **attributes)


@subscriber
def notes_the_last_of_all(event: Event, delivery: Delivery) -> None:
    _put("last", of=str(event.id))


@subscriber
def notes_the_second(event: Event, delivery: Delivery) -> None:
    _put(str(event.id), type=event.type, at=str(int(time.time())))


@subscriber
def sets_a_parameter(event: Event, delivery: Delivery) -> None:
    client("ssm").put_parameter(Name="last", Value=str(event.id), Type="String", Overwrite=True)


@subscriber
def reads(event: Event, delivery: Delivery) -> None:
    client("dynamodb").get_item(TableName=TABLE, Key={"id": {"S": event.key}})


RIGHT: dict[str, Callable[..., Any]] = {
    "puts_by_the_events_id": puts_by_the_events_id,
    "notes_when": notes_when,
    "puts_once": puts_once,
    "charges_by_key": charges_by_key,
    "charges_in_a_step": charges_in_a_step,
    "sets_a_parameter": sets_a_parameter,
    "reads": reads,
}


@subscriber
def adds_up_in_the_transaction(event: Event, delivery: Delivery) -> None:
    delivery.transaction.update(TABLE, {"id": event.key}, "ADD n :one", values={":one": 1})


@subscriber
def numbers_by_order_of_arrival(event: Event, delivery: Delivery) -> None:
    got = client("dynamodb").get_item(TableName=TABLE, Key={"id": {"S": "next"}}, ConsistentRead=True)
    number = int(got["Item"]["n"]["N"]) if "Item" in got else 1
    same = {"condition": "n = :n", "values": {":n": number}}
    if "Item" not in got:
        same = {"condition": "attribute_not_exists(id)"}
    delivery.transaction.put(TABLE, {"id": "next", "n": number + 1}, **same)
    delivery.transaction.put(TABLE, {"id": str(event.id), "invoice": number})


@subscriber
def mails_whoever_is_first(event: Event, delivery: Delivery) -> None:
    """One event has the last one in stock, whichever comes first; the mail bears its key."""
    item = {"id": {"S": "stock"}, "of": {"S": str(event.id)}}
    try:
        client("dynamodb").put_item(
            TableName=TABLE,
            Item=item,
            ConditionExpression="attribute_not_exists(id) OR #of = :of",
            ExpressionAttributeNames={"#of": "of"},
            ExpressionAttributeValues={":of": item["of"]},
        )
    except client("dynamodb").exceptions.ConditionalCheckFailedException:
        return
    effect("reserved", key=str(event.id))


@subscriber
def fails(event: Event, delivery: Delivery) -> None:
    raise ValueError(f"no such order: {event.id}")


class Refused(Exception):
    pass


class RefusedCard(Refused):
    pass


@subscriber
def refuses_some(event: Event, delivery: Delivery) -> None:
    if event.type == "paid":
        raise RefusedCard(str(event.id))


@subscriber
def refuses_a_repetition(event: Event, delivery: Delivery) -> None:
    item = {"id": {"S": str(event.id)}}
    client("dynamodb").put_item(TableName=TABLE, Item=item, ConditionExpression="attribute_not_exists(id)")


@subscriber
def with_late(event: Event, delivery: Delivery) -> None:
    _put(str(event.id), type=event.type)


@with_late.late
def reconciles(event: Event, delivery: Delivery) -> None:
    _put(str(event.id), type=event.type)
