"""`eventfabric cost`: predict what AWS charges for a stream under a load, before anything is deployed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eventfabric.cli.connection import Definition, Json
from eventfabric.cli.options import OnlyStream
from eventfabric.cli.output import say, show_json, show_table

if TYPE_CHECKING:
    from eventfabric.deployment.cost import Prediction

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
    """Predict the cost per million events and per month, part by part, in US dollars. Makes no calls to AWS.

    Prices are in eventfabric/deployment/prices.py, with their date and sources. Storage, logs, alarms, keys and
    transfer between Regions are not included.

    Example: eventfabric cost --events-per-second 500 --batch 100

    Example: eventfabric cost --stream orders --sample infra/sample/events.jsonl --json
    """
    from eventfabric.deployment.cost import Load, predict
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
    if json:
        show_json([_json(prediction) for prediction in predictions])
        return
    for prediction in predictions:
        _show(prediction)


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


def _json(prediction: "Prediction") -> dict[str, Any]:
    from eventfabric.deployment.prices import PRICES_DATE

    return {
        "stream": prediction.stream,
        "prices_date": PRICES_DATE,
        "dollars_per_million_events": round(prediction.dollars_per_million, 6),
        "dollars_per_month": round(prediction.dollars_per_month, 2),
        "idle_dollars_per_month": round(prediction.idle_dollars_per_month, 2),
        "event_bytes_stored": round(prediction.load.event_bytes, 1),
        "records_per_run": round(prediction.load.records_per_run, 3),
        "lines": [
            {
                "part": line.part,
                "what": line.what,
                "unit": line.price.unit,
                "count_per_million_events": round(line.count, 1),
                "dollars_per_million_events": round(line.dollars, 6),
            }
            for line in prediction.lines
        ],
    }


def _show(prediction: "Prediction") -> None:
    from eventfabric.deployment.prices import PRICES_DATE

    rows = [
        (line.part, line.what, line.price.unit, round(line.count), f"{line.dollars:.4f}")
        for line in prediction.lines
    ]
    show_table(
        f"{prediction.stream}, per million events", ("part", "what", "unit", "count", "US dollars"), rows
    )
    say(
        f"{prediction.stream}: ${prediction.dollars_per_million:,.3f} per million events; "
        f"${prediction.dollars_per_month:,.2f} a month at {prediction.load.events_per_second:g} events/s, "
        f"including ${prediction.idle_dollars_per_month:,.2f} for queues and metrics even if nothing is published; "
        f"prices of {PRICES_DATE}, us-east-1"
    )
