"""The relay function: records of stream tables in, doorbells out, partial batch response back."""

from collections.abc import Iterator
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from eventfabric.errors import UndecodableMessageError, UnknownNameError
from eventfabric.runtime.deprecated import DeprecatedEvents
from eventfabric.runtime.response import PartialBatchResponse, partial_batch_response
from eventfabric.runtime.wiring import Runtime, current
from eventfabric.stream_topology import StreamTopology
from eventfabric.telemetry import Metric
from eventfabric.wire.stream_record import RecordNews, from_stream_record


def handle(event: dict[str, Any], context: LambdaContext) -> PartialBatchResponse:
    """Ring for every lane that grew. If queues take no doorbell for the moment, Lambda sends the records again.

    UndecodableMessageError if the event is not one of a stream.
    """
    runtime = current()
    by_stream: dict[str, list[RecordNews]] = {}
    deprecated = DeprecatedEvents(runtime.region)
    for stream_record in _records(event):
        table = _table_of(stream_record)
        try:
            stream = runtime.topology.stream_of_table(table)
            appended = from_stream_record(stream_record)
            if appended is not None:
                _check(stream, appended)
        except (UndecodableMessageError, UnknownNameError) as error:
            # Never fails on content: a record that is not ours would block its shard for a day.
            runtime.logger.error("a stream record is not the log's", extra={"reason": str(error)})
            _ignore(runtime, table)
            continue
        if appended is not None:  # else it is a note, a place or a declaration, for which nothing rings
            by_stream.setdefault(stream.name, []).append(appended)
            deprecated.see(stream, appended, stream_record)
    failed = [
        position
        for name, changes in by_stream.items()
        if (position := runtime.relay_of(runtime.topology.stream(name)).ring(changes))
    ]
    if failed:
        runtime.logger.warning(
            "queues take no doorbells, and records come again", extra={"positions": failed}
        )
    deprecated.tell(runtime.telemetry)
    runtime.flush()
    return partial_batch_response(failed)


def _records(event: dict[str, Any]) -> Iterator[dict[str, Any]]:
    records = event.get("Records") if isinstance(event, dict) else None
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise UndecodableMessageError("found no records, allowed: an event of a DynamoDB stream")
    return iter(records)


def _check(stream: StreamTopology, appended: RecordNews) -> None:
    """Raise UndecodableMessageError if the stream has no such lane, or the record has no position to begin again at."""
    lane = appended.lane
    # The number of lanes is not checked: publishers may have a newer definition than this function.
    if not stream.has_lane(lane.origin, lane.generation, 0):
        raise UndecodableMessageError(
            f"found lane {lane}, allowed: one of {', '.join(stream.definition.regions)}"
        )
    if not appended.position:
        raise UndecodableMessageError("found no SequenceNumber")


def _ignore(runtime: Runtime, table: str) -> None:
    streams = {stream.table.name: stream.name for stream in runtime.topology.streams.values()}
    runtime.telemetry.add(Metric.STREAM_RECORDS_IGNORED, of=streams.get(table, table[:255] or "unknown"))


def _table_of(stream_record: dict[str, Any]) -> str:
    arn = stream_record.get("eventSourceARN")
    return arn.partition(":table/")[2].partition("/")[0] if isinstance(arn, str) else ""
