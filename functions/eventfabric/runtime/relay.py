"""The relay function: records of stream tables in, doorbells out, partial batch response back."""

from typing import Any

from aws_lambda_powertools.utilities.data_classes import DynamoDBStreamEvent
from aws_lambda_powertools.utilities.typing import LambdaContext

from eventfabric.runtime.response import PartialBatchResponse, partial_batch_response
from eventfabric.runtime.wiring import Runtime, current
from eventfabric.services.relay import relay
from eventfabric.telemetry import Metric
from eventfabric.wire.stream_record import Appended, from_stream_record


def handle(event: dict[str, Any], context: LambdaContext) -> PartialBatchResponse:
    """Ring for every lane that grew. A doorbell that could not be sent makes Lambda send its records again."""
    runtime = current()
    by_table: dict[str, list[Appended]] = {}
    for stream_record in DynamoDBStreamEvent(event).records:
        appended = _read(runtime, stream_record.raw_event)
        if appended is not None:
            by_table.setdefault(_table_of(stream_record.event_source_arn or ""), []).append(appended)
    failed = [
        position
        for table, seen in by_table.items()
        if (
            position := relay(
                seen,
                runtime.topology.stream_of_table(table),
                owns=runtime.owns,
                doorbells=runtime.ports.doorbells,
                telemetry=runtime.telemetry,
            )
        )
    ]
    if failed:
        runtime.logger.warning("doorbells could not be sent and come again", extra={"positions": failed})
    runtime.flush()
    return partial_batch_response(failed)


def _read(runtime: Runtime, stream_record: dict[str, Any]) -> Appended | None:
    try:
        appended = from_stream_record(stream_record)
    except (ValueError, KeyError) as error:
        # Never fails on content: a record that is not ours would block its shard for a day.
        runtime.logger.error("a stream record is not the log's", extra={"reason": str(error)})
        appended = None
    if appended is None:
        table = _table_of(stream_record.get("eventSourceARN", ""))
        streams = {stream.table.name: stream.name for stream in runtime.topology.streams.values()}
        runtime.telemetry.add(Metric.STREAM_RECORDS_IGNORED, of=streams.get(table, table or "unknown"))
    return appended


def _table_of(stream_arn: str) -> str:
    return stream_arn.partition(":table/")[2].partition("/")[0]
