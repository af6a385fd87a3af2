"""Failed calls to a queue: the caller learns which doorbells were not sent, and the log why, by the code alone."""

import logging
from collections.abc import Iterator

import pytest
from boto3 import Session
from moto import mock_aws

from eventfabric.aws.clients import Clients
from eventfabric.aws.doorbells import AwsDoorbells
from eventfabric.model import Doorbell, Generation, Lane, LaneIndex, Region, SequenceNumber, StreamName
from tests.support.messages import TextWith

BELL = Doorbell(
    StreamName("orders"), Lane(Region("us-east-1"), Generation(0), LaneIndex(1)), SequenceNumber(7)
)


@pytest.fixture
def doorbells() -> Iterator[AwsDoorbells]:
    """Doorbells in a Region without any queue."""
    with mock_aws():
        session = Session(aws_access_key_id="test", aws_secret_access_key="test")
        client = Clients("us-east-1", session=session).sqs
        yield AwsDoorbells(client, lambda name: f"{name}.fifo", lambda name: f"{name}-timers")


def test_each_call_to_a_queue_that_is_not_there_logs_subscription_verb_and_code(
    doorbells: AwsDoorbells, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert doorbells.ring("billing", [BELL, BELL]) == [BELL, BELL]
        assert not doorbells.ring_later("billing", BELL, 3)
        doorbells.answer("billing", ["one"])
        doorbells.hide("billing", ["one"], 3)
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("eventfabric")]
    assert lines == [
        TextWith(f"{verb} doorbells", "billing", "AWS.SimpleQueueService.NonExistentQueue")
        for verb in ("ring", "ring later", "answer", "hide")
    ]
