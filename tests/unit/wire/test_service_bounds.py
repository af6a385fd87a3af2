"""The largest requests and replies that are made of whole batches: each stays within its service's bound."""

import json
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import msgspec
import pytest
from aws_lambda_powertools import Logger

from eventfabric import limits
from eventfabric.model import Doorbell, Generation, Lane, LaneIndex, Region, SequenceNumber, StreamName
from eventfabric.model.backfill import Backfill, BackfillState, LaneRange
from eventfabric.runtime.metrics import EmfTelemetry
from eventfabric.runtime.output import Output
from eventfabric.runtime.response import partial_batch_response
from eventfabric.telemetry import Metric, Unit
from eventfabric.wire import backfill_item
from eventfabric.wire.doorbell import from_body, to_body
from eventfabric.wire.item_size import item_bytes

REGION = Region("r" * limits.REGION_CHARACTERS_MAX)
LANE = Lane(REGION, Generation(999_999_999), LaneIndex(limits.LANES_MAX - 1))
STREAM = StreamName("s" * limits.NAME_CHARACTERS_MAX)
LAST = SequenceNumber(limits.SEQUENCE_MAX)
QUEUE_MESSAGE_BYTES_MAX = 1024 * 1024
STATE_BYTES_MAX = 256 * 1024
"""Most bytes, as UTF-8, that Step Functions carries from one state to the next."""
LOG_EVENT_BYTES_MAX = 256 * 1024
"""Most bytes of a line that CloudWatch keeps as one event, and reads metrics from."""
MESSAGE_ID_CHARACTERS = 100
"""Longest message id, as SQS allows; a stream's sequence number has 40 digits."""


def test_a_batch_of_the_longest_doorbells_is_a_thousandth_of_what_a_queue_takes() -> None:
    bell = Doorbell(STREAM, LANE, LAST, again=LAST, ended=LAST, failing_ms=LAST)
    assert from_body(to_body(bell)) == bell
    whole = limits.QUEUE_SEND_BATCH_MAX * (len(to_body(bell)) + len(bell.group) + len(bell.deduplication_id))
    assert whole < QUEUE_MESSAGE_BYTES_MAX // 100
    assert len(bell.group) <= limits.QUEUE_GROUP_CHARACTERS_MAX
    assert len(bell.deduplication_id) <= limits.QUEUE_GROUP_CHARACTERS_MAX


def test_slices_that_are_handed_out_together_fit_between_two_states() -> None:
    slices = [{"lane": str(LANE), "start": LAST}] * (
        limits.BACKFILL_HANDED_SLICES + limits.BACKFILL_LANE_SLICES
    )
    answer = {
        "backfill": "b" * 64,
        "workers": limits.BACKFILL_WORKERS_MAX,
        "more": str(LANE),
        "slices": slices,
    }
    assert len(msgspec.json.encode(answer)) < STATE_BYTES_MAX


def test_a_backfill_of_as_many_ranges_as_there_may_be_fits_into_one_item() -> None:
    ranges = tuple(LaneRange(LANE, LAST, LAST) for _ in range(limits.BACKFILL_RANGES_MAX))
    output = "\x00" * limits.OPERATOR_TEXT_CHARACTERS_MAX
    made = Backfill(
        "b" * 64,
        STREAM,
        REGION,
        REGION,
        ranges,
        1e9,
        limits.BACKFILL_WORKERS_MAX,
        LAST,
        output,
        limits.MILLISECONDS_MAX,
        BackfillState.INCOMPLETE,
    )
    assert item_bytes(backfill_item.to_item(made)) < limits.ITEM_BYTES_MAX


def test_a_line_of_metrics_holds_at_most_a_hundred_values_and_a_hundred_metrics(
    capsys: pytest.CaptureFixture[str],
) -> None:
    telemetry = EmfTelemetry(fabric="f" * limits.FABRIC_CHARACTERS_MAX, logger=Logger(service="bounds"))
    for metric in Metric:
        for value in range(250 if metric.unit is Unit.MILLISECONDS else 1):
            telemetry.add(metric, value + 1, of="n" * limits.NAME_CHARACTERS_MAX)
    telemetry.flush()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    counts = dict.fromkeys(Metric, 0)
    for line in lines:
        assert all(len(directive["Metrics"]) <= 100 for directive in line["_aws"]["CloudWatchMetrics"])
        assert len(json.dumps(line)) < LOG_EVENT_BYTES_MAX
        for metric in set(Metric) & line.keys():
            assert len(line[metric]) <= 100
            counts[metric] += len(line[metric])
    assert counts == {metric: 250 if metric.unit is Unit.MILLISECONDS else 1 for metric in Metric}


def test_a_metric_of_many_values_goes_to_the_output_whatever_stands_in_for_standard_output(
    tmp_path: Path,
) -> None:
    with (tmp_path / "lines").open("wb") as file, redirect_stdout(StringIO()) as replaced:
        telemetry = EmfTelemetry(
            fabric="f", subscription="s", logger=Logger(service="bounds"), output=Output(file.fileno())
        )
        for value in range(250):
            telemetry.add(Metric.DELIVERY_LATENCY, value)
        telemetry.flush()
    lines = [json.loads(line) for line in (tmp_path / "lines").read_text().splitlines()]
    assert [value for line in lines for value in line[Metric.DELIVERY_LATENCY]] == list(range(250))
    assert replaced.getvalue() == ""


def test_an_answer_that_fails_all_of_a_batch_is_a_thousandth_of_what_lambda_takes() -> None:
    failed = ["i" * MESSAGE_ID_CHARACTERS] * max(limits.RELAY_BATCH_MAX, limits.DOORBELL_BATCH_MAX)
    assert len(json.dumps(partial_batch_response(failed))) < limits.INVOCATION_BYTES_MAX // 100
