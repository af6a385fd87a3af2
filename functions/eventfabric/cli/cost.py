"""`eventfabric cost`: predict what AWS charges for an idle fabric, and for its streams under a load."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eventfabric.cli.connection import Definition, Json
from eventfabric.cli.options import OnlyStream
from eventfabric.cli.output import say, show_json, show_table

if TYPE_CHECKING:
    from eventfabric.deployment.cost import Line, Prediction

Rate = Annotated[
    float, typer.Option("--events-per-second", min=1e-6, max=1e6, help="Events published, at an even rate.")
]
Bytes = Annotated[
    int, typer.Option("--event-bytes", min=1, max=256_000, help="Size of an event's data, as JSON.")
]
Batch = Annotated[int, typer.Option(min=1, max=1_000, help="Events in one record.")]
Ratio = Annotated[
    float,
    typer.Option(
        min=0.01, max=1, help="Compressed size / size, for records of 512 bytes or more; see --sample."
    ),
]
Sample = Annotated[
    Path | None,
    typer.Option(
        help="File of CloudEvents, one JSON object a line. Their packed size replaces --event-bytes and --ratio."
    ),
]
HandlerMs = Annotated[
    float,
    typer.Option(min=0, max=900_000, help="Time that your handler needs for an event, in milliseconds."),
]
_ROW_BYTES = 110
"""Size of an event's attributes beside its data, for an event that the SDK made."""


def cost(
    *,
    stream: OnlyStream = None,
    events_per_second: Rate = 10.0,
    event_bytes: Bytes = 256,
    batch: Batch = 1,
    ratio: Ratio = 0.4,
    sample: Sample = None,
    handler_ms: HandlerMs = 5.0,
    definition: Definition = None,
    json: Json = False,
) -> None:
    """Predict the cost of an idle month, and of a million events, part by part, in US dollars. Makes no calls to AWS.

    Prices are in eventfabric/deployment/prices.py, with their date and sources. What is stored is priced by the GB. The
    last line says what is not counted.

    Example: eventfabric cost --events-per-second 500 --batch 100

    Example: eventfabric cost --stream orders --sample infra/sample/events.jsonl --json
    """
    from eventfabric.deployment.cost import Load, predict
    from eventfabric.deployment.idle import NOT_COUNTED, busy_metrics, by_gigabyte, idle_month
    from eventfabric.settings import definition_at, definition_path
    from eventfabric.topology import Topology
    from eventfabric.wire.payload_codec import SMALL_BYTES

    topology = Topology(definition_at(definition or definition_path()))
    streams = [topology.stream(stream)] if stream else list(topology.streams.values())
    if sample is None:
        plain = float(event_bytes + _ROW_BYTES)
        stored = plain if plain * batch < SMALL_BYTES else plain * ratio
    else:
        stored = _measured(sample, batch)
    predictions = [
        predict(
            topology,
            stream_topology,
            Load.steady(
                events_per_second,
                stored,
                lanes=stream_topology.definition.lanes,
                events_per_record=float(batch),
                handler_seconds=handler_ms / 1000,
            ),
        )
        for stream_topology in streams
    ]
    idle, busy, kept = idle_month(topology), busy_metrics(topology), by_gigabyte(topology)
    if json:
        show_json(_json(idle, busy, kept, predictions))
        return
    _show_idle(topology.fabric, idle, busy, kept)
    for prediction in predictions:
        _show(prediction)
    say(f"Not counted: {NOT_COUNTED}.")


def _measured(path: Path, batch: int) -> float:
    """Measure the bytes that an event of the file takes in records of `batch` events. Raises typer.BadParameter."""
    from eventfabric.model import Event
    from eventfabric.sdk.cloudevents_file import read_cloudevents
    from eventfabric.wire.batch import split_rows
    from eventfabric.wire.payload_codec import Row, pack, stored

    if not path.is_file():
        raise typer.BadParameter(f"--sample: found no file {path}, allowed: CloudEvents in JSON, a line each")
    rows: list[Row] = []
    with path.open("rb") as file:
        for number, event in read_cloudevents(file, name=str(path)):
            if not isinstance(event, Event):
                raise typer.BadParameter(f"--sample: line {number}: {event}")
            # An id like those that the SDK makes, which compress less well than most.
            rows.append(stored(event, id=f"0197{number:032x}", time=2**50 + number, source="/"))
    if not rows:
        raise typer.BadParameter(f"--sample: {path} holds no event")
    batches = [rows[start : start + batch] for start in range(0, len(rows), batch)]
    return sum(len(pack(record)) for batch_rows in batches for record in split_rows(batch_rows)) / len(rows)


def _json(
    idle: "list[Line]", busy: "list[Line]", kept: "list[Line]", predictions: "list[Prediction]"
) -> dict[str, Any]:
    from eventfabric.deployment.idle import NOT_COUNTED
    from eventfabric.deployment.prices import PRICES_DATE

    return {
        "prices_date": PRICES_DATE,
        "idle": {
            "dollars_per_month": round(sum(line.dollars for line in idle), 2),
            "lines": [_json_line(line, "month") for line in idle],
        },
        "busy_metrics": [_json_line(line, "month") for line in busy],
        "gigabytes": [_json_line(line, "month") for line in kept],
        "streams": [_json_stream(prediction) for prediction in predictions],
        "not_counted": NOT_COUNTED,
    }


def _json_stream(prediction: "Prediction") -> dict[str, Any]:
    return {
        "stream": prediction.stream,
        "dollars_per_million_events": round(prediction.dollars_per_million, 6),
        "dollars_per_month": round(prediction.dollars_per_month, 2),
        "event_bytes_stored": round(prediction.load.event_bytes, 1),
        "records_per_run": round(prediction.load.records_per_run, 3),
        "lines": [_json_line(line, "million_events") for line in prediction.lines],
    }


def _json_line(line: "Line", per: str) -> dict[str, Any]:
    return {
        "part": line.part,
        "what": line.what,
        "unit": line.price.unit,
        f"count_per_{per}": round(line.count, 1),
        f"dollars_per_{per}": round(line.dollars, 6),
    }


def _show_idle(fabric: str, idle: "list[Line]", busy: "list[Line]", kept: "list[Line]") -> None:
    from eventfabric.deployment.prices import PRICES_DATE

    _show_lines(f"{fabric}, a month in which nothing is published", idle, digits=2)
    total = sum(line.dollars for line in idle)
    say(f"{fabric}: ${total:,.2f} for an idle month; prices of {PRICES_DATE}, us-east-1")
    _show_lines(
        "Beside that, in a month in each hour of which every subscription handles events", busy, digits=2
    )
    _show_lines("Beside that, for each GB and month", kept, digits=2)


def _show(prediction: "Prediction") -> None:
    _show_lines(f"{prediction.stream}, per million events", prediction.lines, digits=4)
    say(
        f"{prediction.stream}: ${prediction.dollars_per_million:,.3f} per million events; "
        f"${prediction.dollars_per_month:,.2f} a month at {prediction.load.events_per_second:g} events/s, "
        "beside the idle month"
    )


def _show_lines(title: str, lines: "Sequence[Line]", *, digits: int) -> None:
    rows = [
        (line.part, line.what, line.price.unit, f"{line.count:,.0f}", f"{line.dollars:.{digits}f}")
        for line in lines
    ]
    show_table(title, ("part", "what", "unit", "count", "US dollars"), rows)
