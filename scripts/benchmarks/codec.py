"""Codecs: the cost of storing an event, by layout and compression, for four kinds of events."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

import msgspec
from msgspec import Raw

from eventfabric.limits import RECORD_PAYLOAD_BYTES_MAX
from eventfabric.model import EMPTY_TAIL, Batch, BatchId, Event, record_at, uuid7_prefix, uuid7_suffixes
from eventfabric.sdk.cloudevents_file import read_cloudevents
from eventfabric.wire.payload_codec import Row, encode_event, pack, unpack
from scripts.benchmarks.deliver import LANE
from scripts.benchmarks.measure import Contender, Section, Target, compare
from scripts.benchmarks.publish import payloads
from scripts.install import ROOT

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_LEVEL = 1
_NOW_MS = 1_790_000_000_000
_encode_json = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Shape:
    """The events of one record, all of one kind."""

    name: str
    rows: Sequence[Row]


def shapes() -> list[Shape]:
    """Make the sample's orders, orders of 256 bytes, telemetry of 90 bytes, and documents of 10 KB of words."""
    random = Random(1)
    words = [
        "".join(random.choices("abcdefghijklmnopqrstuvwxyz", k=random.randint(3, 9))) for _ in range(2_000)
    ]
    telemetry = [
        {
            "device": f"dev-{random.randrange(500):04d}",
            "t": 1_790_000_000 + n,
            "temp": round(random.gauss(21, 3), 2),
            "hum": round(100 * random.random(), 1),
            "ok": True,
        }
        for n in range(500)
    ]
    documents = [
        {
            "id": n,
            "title": " ".join(random.choices(words, k=6)),
            "body": " ".join(random.choices(words, k=1_400)),
        }
        for n in range(RECORD_PAYLOAD_BYTES_MAX // 10_500)
    ]
    with (ROOT / "infra" / "sample" / "events.jsonl").open("rb") as file:
        sample = [
            event.data for _, event in read_cloudevents(file, name="sample") if isinstance(event, Event)
        ]
    given = {
        "the sample": sample[:500],
        "orders, 256 B": payloads(500),
        "telemetry, 90 B": telemetry,
        "documents, 10 KB": documents,
    }
    return [Shape(name, _rows(data, random)) for name, data in given.items()]


def _rows(data: Sequence[Any], random: Random) -> list[Row]:
    ids: list[str] = []
    while len(ids) < len(data):
        ids += [uuid7_prefix(_NOW_MS) + suffix for suffix in uuid7_suffixes(random.randbytes(10))]
    return [
        (
            ids[n],
            "OrderPlaced",
            f"customer-{random.randrange(32)}",
            1_000 * _NOW_MS + n,
            "/shop/orders",
            {},
            1,
            _encode_json(payload),
        )
        for n, payload in enumerate(data)
    ]


def _json_lines(rows: Sequence[Row]) -> bytes:
    return b"\n".join(
        _encode_json(
            {"id": id_, "type": type_, "key": key, "time": time, "source": source, "data": Raw(content)}
        )
        for id_, type_, key, time, source, _, _, content in rows
    )


def _of_rows(rows: Sequence[Row]) -> bytes:
    return b"\xdc" + len(rows).to_bytes(2, "big") + b"".join(map(encode_event, rows))


def bench(*, quick: bool) -> Section:
    """Time encoding with compression, and reading back. `quick` takes fewer rounds."""
    rounds, times = (2, 2) if quick else (5, 10)
    table = [["events", "layout", "bytes an event", "of them under zstd 1", "us to store", "us to read"]]
    worst = 0.0
    for shape in shapes():
        count = len(shape.rows)
        layouts: dict[str, Callable[[], bytes]] = {
            "JSON lines": partial(_json_lines, shape.rows),
            "MessagePack rows": partial(_of_rows, shape.rows),
            "MessagePack columns": partial(pack, shape.rows),
        }
        figures = compare(
            [
                Contender(name, _repeated(partial(_stored, make, name), times, count))
                for name, make in layouts.items()
            ]
            + [Contender("read", _repeated(partial(_read, pack(shape.rows), shape), times, count))],
            rounds=rounds,
        )
        sizes = {}
        for (name, make), figure in zip(layouts.items(), figures, strict=False):
            stored = _stored(make, name)
            plain = len(_json_lines(shape.rows) if name == "JSON lines" else _of_rows(shape.rows))
            sizes[name] = len(stored)
            read = f"{figures[-1].cpu_us_per_event:.2f}" if name.endswith("columns") else ""
            table.append(
                [
                    shape.name,
                    name,
                    f"{plain / count:,.0f}",
                    f"{len(stored) / count:,.1f}",
                    f"{figure.cpu_us_per_event:.2f}",
                    read,
                ]
            )
        worst = max(worst, sizes["MessagePack columns"] / sizes["MessagePack rows"])
    return Section(
        "codec, records of 500 events or as many as fit",
        [],
        [Target("columns / rows, bytes, the worst of the shapes", worst, 1.01, "times")],
        [
            "columns are stored; the time to store includes zstd at level 1; bytes are those of the whole event"
        ],
        table,
    )


def _stored(make: Callable[[], bytes], name: str) -> bytes:
    # `pack`, which makes the columns, compresses by itself.
    return make() if name.endswith("columns") else zstd.compress(make(), _LEVEL)


def _read(payload: bytes, shape: Shape) -> None:

    batch = Batch(BatchId(bytes(16)), len(shape.rows), frozenset(["OrderPlaced"]), payload)
    unpack(record_at(EMPTY_TAIL, LANE, batch, now_ms=0, retention_seconds=None))


def _repeated(call: Callable[[], object], times: int, events: int) -> Callable[[], int]:
    def run() -> int:
        for _ in range(times):
            call()
        return times * events

    return run
