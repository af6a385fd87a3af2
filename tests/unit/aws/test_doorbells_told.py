"""Why a doorbell could not be sent is said, by its code alone; the caller hears only that it was not."""

import logging
from collections.abc import Iterator

import pytest
from boto3 import Session
from moto import mock_aws

from eventfabric.aws.clients import Clients
from eventfabric.aws.doorbells import AwsDoorbells
from eventfabric.model.doorbell import Doorbell
from eventfabric.model.identity import Generation, Lane, LaneIndex, Region, SequenceNumber, StreamName

BELL = Doorbell(
    StreamName("orders"), Lane(Region("us-east-1"), Generation(0), LaneIndex(1)), SequenceNumber(7)
)


@pytest.fixture
def doorbells() -> Iterator[AwsDoorbells]:
    """On a Region in which there is no queue at all."""
    with mock_aws():
        session = Session(aws_access_key_id="test", aws_secret_access_key="test")
        client = Clients("us-east-1", session=session).sqs
        yield AwsDoorbells(client, lambda name: f"{name}.fifo", lambda name: f"{name}-timers")


def test_whoever_rings_at_a_queue_that_is_not_there_is_told_which_and_why(
    doorbells: AwsDoorbells, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert doorbells.ring("billing", [BELL, BELL]) == [BELL, BELL]
        assert not doorbells.ring_later("billing", BELL, 3)
        doorbells.answer("billing", ["one"])
        doorbells.hide("billing", ["one"], 3)
    said = [record.getMessage() for record in caplog.records if record.name.startswith("eventfabric")]
    assert [text.rpartition(": ")[0] for text in said] == [
        f"could not {verb} doorbells of billing" for verb in ("ring", "ring later", "answer", "hide")
    ]
    assert {text.rpartition(": ")[2] for text in said} == {"AWS.SimpleQueueService.NonExistentQueue"}
