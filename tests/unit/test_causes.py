"""Owns which refusals of a service ask for somebody, and that they are told whoever handles the error."""

import json

import boto3
import pytest
from aws_lambda_powertools import Logger
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from eventfabric.aws.causes import cause_of, tell_refusals
from eventfabric.aws.clients import Clients
from eventfabric.aws.doorbells import AwsDoorbells
from eventfabric.model.identity import Sequence, StreamName
from eventfabric.runtime.metrics import EmfTelemetry
from eventfabric.runtime.wiring import Runtime
from eventfabric.telemetry import NAMESPACE
from eventfabric.wire.doorbell import Doorbell
from eventfabric.wire.service_errors import Meaning
from tests.simulation.world import HOME, LANE, World

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


@pytest.fixture
def clients() -> Clients:
    session = boto3.Session(aws_access_key_id="a", aws_secret_access_key="b")
    return Clients("us-east-1", session=session)


def heard_of(clients: Clients) -> Heard:
    heard: Heard = []
    for client in (clients.dynamodb, clients.sqs):
        tell_refusals(client, lambda cause, operation, code: heard.append((cause, operation, code)))
    return heard


def test_a_refusal_is_told_and_raised_as_before(clients: Clients) -> None:
    heard = heard_of(clients)
    with Stubber(clients.dynamodb) as stub:
        stub.add_client_error("get_item", "AccessDeniedException", "not authorized", http_status_code=400)
        with pytest.raises(ClientError):
            clients.dynamodb.get_item(TableName="t", Key={"pk": {"S": "a"}})
    assert heard == [(Meaning.DENIED, "GetItem", "AccessDeniedException")]


def test_what_succeeds_or_passes_by_itself_is_not_told(clients: Clients) -> None:
    heard = heard_of(clients)
    with Stubber(clients.dynamodb) as stub:
        stub.add_response("get_item", {})
        stub.add_client_error("put_item", "ConditionalCheckFailedException", http_status_code=400)
        clients.dynamodb.get_item(TableName="t", Key={"pk": {"S": "a"}})
        with pytest.raises(ClientError):
            clients.dynamodb.put_item(TableName="t", Item={"pk": {"S": "a"}})
    assert heard == []


def test_a_denial_that_a_doorbell_swallows_is_told_all_the_same(clients: Clients) -> None:
    heard = heard_of(clients)
    bells = AwsDoorbells(clients.sqs, lambda name: name, lambda name: name)
    with Stubber(clients.sqs) as stub:
        stub.add_response("get_queue_url", {"QueueUrl": "https://q"})
        stub.add_client_error("send_message_batch", "KmsDisabled", "is disabled", http_status_code=400)
        rung = [Doorbell(StreamName("orders"), LANE, Sequence(1))]
        assert bells.ring("billing", rung) == rung
        refused = {"Id": "0", "SenderFault": False, "Code": "KmsInvalidState", "Message": "denied"}
        stub.add_response("send_message_batch", {"Successful": [], "Failed": [refused]})
        assert bells.ring("billing", rung) == rung
    assert heard == [
        (Meaning.KEY_UNUSABLE, "SendMessageBatch", "KmsDisabled"),
        (Meaning.KEY_UNUSABLE, "SendMessageBatch", "KmsInvalidState"),
    ]


@pytest.mark.parametrize("subscription", ["billing", None])
def test_a_function_counts_it_by_cause_and_says_it(
    subscription: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = Logger(service=f"test-causes-{subscription}")
    telemetry = EmfTelemetry(fabric="shop", subscription=subscription, logger=logger)
    world = World()
    runtime = Runtime(
        topology=world.topology,
        region=HOME,
        subscription=subscription,
        ports=world.ports(),
        telemetry=telemetry,
        logger=logger,
    )
    runtime.refused(Meaning.KEY_UNUSABLE, "Query", "AccessDeniedException")
    runtime.flush()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    told = [line for line in lines if "message" in line]
    assert [(line["cause"], line["operation"]) for line in told] == [("key_unusable", "Query")]
    counted = [line for line in lines if "_aws" in line]
    if subscription is None:
        assert counted == []
        return
    [blob] = counted
    assert blob["_aws"]["CloudWatchMetrics"][0]["Namespace"] == NAMESPACE
    assert (blob["CallsWithoutKey"], blob["DeliveriesBlocked"], blob["subscription"]) == ([1], [1], "billing")
