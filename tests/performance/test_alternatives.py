"""Alternatives that the fabric is measured beside: they hand out what was sent, on moto as the benchmark runs them."""

import boto3
import pytest
from moto import mock_aws

from scripts.benchmarks.endtoend import Flows
from scripts.benchmarks.null_endpoint import REGION


@pytest.mark.parametrize("number", range(2), ids=["SQS FIFO", "EventBridge"])
def test_an_alternative_hands_out_each_event_that_was_sent(number: int) -> None:
    with mock_aws():
        flows = Flows(boto3.Session("local", "local", region_name=REGION))
        flows.others()[number].run(3)
        assert flows.handled == 3
