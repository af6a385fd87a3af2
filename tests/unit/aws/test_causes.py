"""Refusals of a service that need a person: they are reported, whoever handles the error."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import boto3
import pytest
from aws_lambda_powertools import Logger
from botocore.exceptions import ClientError

from eventfabric.aws.causes import cause_of, tell_refusals
from eventfabric.aws.clients import Clients, named_failures
from eventfabric.aws.doorbells import AwsDoorbells
from eventfabric.errors import PortError
from eventfabric.model import Doorbell, SequenceNumber, StreamName
from eventfabric.runtime.metrics import EmfTelemetry
from eventfabric.runtime.wiring import Runtime
from eventfabric.telemetry import NAMESPACE
from eventfabric.wire.service_errors import Meaning
from tests.support.memory_fabric import HOME, LANE
from tests.support.messages import TextWith
from tests.support.socket_server import endpoint, error, reply
from tests.support.subscribed_stream import SubscribedStream

Heard = list[tuple[Meaning, str, str]]


@pytest.mark.parametrize(
    ("code", "message", "cause"),
    [
        ("AccessDeniedException", "User: x is not authorized to perform: dynamodb:Query", Meaning.DENIED),
        ("AccessDenied", "", Meaning.DENIED),
        ("UnrecognizedClientException", "The security token is invalid", Meaning.DENIED),
        (
            "AccessDeniedException",
            "KMS key access denied error: com.amazonaws.services.kms.model",
            Meaning.KEY_UNUSABLE,
        ),
        ("KmsDisabled", "arn:aws:kms:... is disabled.", Meaning.KEY_UNUSABLE),
        ("KmsInvalidState", "", Meaning.KEY_UNUSABLE),
        ("KmsThrottled", "", None),
        ("ResourceNotFoundException", "Requested resource not found", Meaning.MISSING),
        ("AWS.SimpleQueueService.NonExistentQueue", "", Meaning.MISSING),
        ("QueueDoesNotExist", "", Meaning.MISSING),
        ("ConditionalCheckFailedException", "The conditional request failed", None),
        ("ProvisionedThroughputExceededException", "", None),
        ("TransactionCanceledException", "", None),
        ("InternalServerError", "", None),
        ("", "", None),
    ],
)
def test_an_error_asks_for_somebody_or_passes_by_itself(
    code: str, message: str, cause: Meaning | None
) -> None:
    assert cause_of(code, message) is cause


@contextmanager
def heard_at(*answers: bytes) -> Iterator[tuple[Clients, Heard]]:
    """Clients of a service that answers so, and what is told of their calls."""
    heard: Heard = []
    with endpoint(*answers) as url:
        clients = Clients("us-east-1", session=boto3.Session("a", "b"), endpoint_url=url)
        for client in (clients.dynamodb, clients.sqs):
            tell_refusals(client, lambda cause, operation, code: heard.append((cause, operation, code)))
        yield clients, heard


def test_a_refusal_is_reported_and_raised_as_before() -> None:
    with heard_at(error("AccessDeniedException", "not authorized")) as (clients, heard):
        with pytest.raises(ClientError):
            clients.dynamodb.get_item(TableName="t", Key={"pk": {"S": "a"}})
        assert heard == [(Meaning.DENIED, "GetItem", "AccessDeniedException")]


def test_what_succeeds_or_passes_by_itself_is_not_reported() -> None:
    with heard_at(reply(b"{}"), error("ConditionalCheckFailedException")) as (clients, heard):
        clients.dynamodb.get_item(TableName="t", Key={"pk": {"S": "a"}})
        with pytest.raises(ClientError):
            clients.dynamodb.put_item(TableName="t", Item={"pk": {"S": "a"}})
        assert heard == []


def test_a_denial_that_a_doorbell_swallows_is_reported_all_the_same() -> None:
    refused = b'{"Id":"0","SenderFault":false,"Code":"KmsInvalidState","Message":"denied"}'
    with heard_at(
        reply(b'{"QueueUrl":"http://127.0.0.1/q"}'),
        error("KmsDisabled", "is disabled"),
        reply(b'{"Successful":[],"Failed":[' + refused + b"]}"),
    ) as (clients, heard):
        bells = AwsDoorbells(clients.sqs, lambda name: name, lambda name: name)
        rung = [Doorbell(StreamName("orders"), LANE, SequenceNumber(1))]
        assert bells.ring("billing", rung) == rung
        assert bells.ring("billing", rung) == rung
        assert heard == [
            (Meaning.KEY_UNUSABLE, "SendMessageBatch", "KmsDisabled"),
            (Meaning.KEY_UNUSABLE, "SendMessageBatch", "KmsInvalidState"),
        ]


@pytest.mark.parametrize("subscription", ["billing", None])
def test_a_function_counts_it_by_cause_and_says_it(
    subscription: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = Logger(service=f"test-{uuid4()}")  # one that is kept writes where it first wrote
    telemetry = EmfTelemetry(fabric="shop", subscription=subscription, logger=logger)
    fabric = SubscribedStream()
    runtime = Runtime(
        topology=fabric.topology,
        region=HOME,
        subscription=subscription,
        ports=fabric.ports(),
        telemetry=telemetry,
        logger=logger,
    )
    runtime.refused(Meaning.KEY_UNUSABLE, "Query", "AccessDeniedException")
    runtime.flush()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    messages = [line for line in lines if "message" in line]
    assert [(line["cause"], line["operation"]) for line in messages] == [("key_unusable", "Query")]
    counted = [line for line in lines if "_aws" in line]
    if subscription is None:
        assert counted == []
        return
    [blob] = counted
    assert blob["_aws"]["CloudWatchMetrics"][0]["Namespace"] == NAMESPACE
    assert (blob["CallsWithoutKey"], blob["DeliveriesBlocked"], blob["subscription"]) == ([1], [1], "billing")


def test_a_key_that_may_not_be_used_is_distinguished_from_a_table_that_may_not_be_read() -> None:
    for message, cause in (("KMS key access denied", Meaning.KEY_UNUSABLE), ("no", Meaning.DENIED)):
        with heard_at(error("AccessDeniedException", message)) as (clients, heard):
            with pytest.raises(ClientError):
                clients.dynamodb.get_item(TableName="t", Key={"pk": {"S": "a"}})
            assert heard == [(cause, "GetItem", "AccessDeniedException")]


def test_an_error_without_a_code_is_reported_to_nobody_and_has_an_unknown_outcome() -> None:
    responses: list[Any] = [{}, {"Error": {}}, {"Error": {"Message": "m"}}]
    for response in responses:
        with pytest.raises(PortError) as raised, named_failures("put"):
            raise ClientError(response, "PutItem")
        assert raised.value.operation == "put"
        assert not raised.value.no_effect or not raised.value.retryable


def test_doorbells_that_reach_nobody_are_logged_with_what_failed(caplog: pytest.LogCaptureFixture) -> None:
    clients = Clients("us-east-1", session=boto3.Session("a", "b"), endpoint_url="http://127.0.0.1:1")
    bells = AwsDoorbells(clients.sqs, str, str)
    assert bells.ring_later("all", Doorbell(StreamName("orders"), LANE, SequenceNumber(1)), 5) is False
    assert [record.getMessage() for record in caplog.records] == [
        TextWith("ring later doorbells", "all", "EndpointConnectionError")
    ]
