"""Records of registered schemas: what is written is read back, and nothing else is believed."""

from dataclasses import replace

import msgspec
import pytest

from eventfabric.contracts.document import SchemaDocument, read_schema
from eventfabric.errors import RecordBoundsError, UndecodableRecordError
from eventfabric.model import (
    EMPTY_TAIL,
    Batch,
    BatchId,
    DeclarationLane,
    Record,
    Region,
    SchemaLane,
    SequenceNumber,
    StreamName,
    record_at,
)
from eventfabric.model.schema_index import SchemaChange, SchemaIndex, SchemaVersion
from eventfabric.wire.batch import batch_of_rows
from eventfabric.wire.schema_record import INDEX_TYPE, batch_of, document_in, index_bytes, index_of
from tests.support.memory_fabric import AWAY, HOME, STREAM

LANE = SchemaLane.of(HOME, StreamName(STREAM))
DOCUMENT = read_schema('{"type":"object"}', where="-")


def version(
    number: int, *, digest: str = DOCUMENT.digest, region: Region = HOME, again_ms: int = 0
) -> SchemaVersion:
    return SchemaVersion(
        number=number,
        digest=digest,
        region=region,
        sequence=SequenceNumber(7),
        at_ms=5,
        again_ms=again_ms,
        accepted_because="it is new" if number == 2 else "",
    )


def index(*versions: SchemaVersion) -> SchemaIndex:
    change = SchemaChange(by="ci", request_id="r1", version="1.0", at_ms=5)
    return SchemaIndex(types={"shop/order placed": versions}, count=len(versions) + 7, change=change)


def many(count: int, region: Region = HOME) -> SchemaIndex:
    """Return an index with versions of types whose names have 20 characters."""
    own = {f"Type{number:016}": (version(1, region=region),) for number in range(count)}
    return replace(index(), types=own)


def batch(of: SchemaIndex, added: dict[str, SchemaDocument]) -> Batch:
    return batch_of(of, added, BatchId(bytes(16)), stream=STREAM, source="/shop/orders")


def record(own: Batch) -> Record:
    return record_at(EMPTY_TAIL, LANE, own, now_ms=5, retention_seconds=None)


def test_an_index_is_read_back_as_it_was() -> None:
    other, third = (read_schema(text, where="-").digest for text in ('{"type":"array"}', "true"))
    written = index(
        version(2, digest=other), version(3, digest=third, region=AWAY), version(1, again_ms=9, region=AWAY)
    )
    read = record(batch(written, {"shop/order placed": DOCUMENT}))
    assert index_of(read) == written
    assert document_in(read, "shop/order placed", DOCUMENT.digest) == DOCUMENT
    assert index_of(record(batch(index(version(1)), {}))) == index(version(1))


def test_sixteen_hundred_versions_fit_beside_the_largest_schema_and_more_are_refused() -> None:
    largest = read_schema(
        '{"description":"%s"}' % ("x" * (128 * 1024 - len('{"description":""}'))), where="-"
    )
    record(batch(many(1_600), {"T": largest}))
    with pytest.raises(RecordBoundsError):
        batch(many(4_000), {"T": largest})


def test_an_index_has_the_same_size_whichever_region_has_registered_it() -> None:
    sizes = {index_bytes(many(1_000, Region(name))) for name in ("us-east-1", "eu-west-1", "eu-north-1")}
    assert max(sizes) - min(sizes) <= 1
    mixed = {**many(1_000).types, "T": (version(1, region=AWAY),)}
    assert index_bytes(replace(many(1_000), types=mixed)) - max(sizes) < 150


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b"{}",
        b'{"types":{},"regions":[],"count":0,"change":{}}',
        b'{"types":{"":[]},%s}',
        b'{"types":{},"regions":["US"],"count":1,"change":{"by":"","request_id":"","version":"","at_ms":1}}',
        b'{"types":{"T":[{"d":"short","s":0,"t":0}]},%s}',
        b'{"types":{"T":[{"d":"tb6kG2xiP3wJ8b8k3K5Y6w","s":-1,"t":0}]},%s}',
        b'{"types":{"T":[{"d":"tb6kG2xiP3wJ8b8k3K5Y6w","s":0,"t":1e300}]},%s}',
        b'{"types":{"T":[{"d":"tb6kG2xiP3wJ8b8k3K5Y6w","s":0,"t":0,"r":1}]},%s}',
        b'{"types":{"T":[{"d":"tb6kG2xiP3wJ8b8k3K5Y6w","s":0,"t":0,"r":-1}]},%s}',
        b'{"types":{"T":[{"d":"tb6kG2xiP3wJ8b8k3K5Y6w","s":0,"t":0,"n":2}]},%s}',
        b'{"types":{"T":[{"d":"tb6kG2xiP3wJ8b8k3K5Y6w","s":0,"t":0},{"d":"tb6kG2xiP3wJ8b8k3K5Y6w","s":0,"t":0}]},%s}',
    ],
)
def test_what_is_no_index_is_undecodable(content: bytes) -> None:
    change = (
        b'"regions":["us-east-1"],"count":1,"change":{"by":"ci","request_id":"r","version":"1","at_ms":1}'
    )
    text = content % change if b"%s" in content else content
    row = ("id", INDEX_TYPE, STREAM, 1, "/shop/orders", dict[str, str | int | bool](), 1, text)
    with pytest.raises(UndecodableRecordError, match="no index of schemas"):
        index_of(record(batch_of_rows(BatchId(bytes(16)), [row])))


def test_an_index_in_a_lane_of_something_else_is_none() -> None:
    of_declarations = DeclarationLane.of(HOME, StreamName(STREAM))
    own = batch(index(version(1)), {})
    with pytest.raises(UndecodableRecordError, match="no index of schemas"):
        index_of(record_at(EMPTY_TAIL, of_declarations, own, now_ms=5, retention_seconds=None))


def test_members_of_a_later_version_are_passed_over() -> None:
    text = msgspec.json.encode(
        {
            "types": {"T": [{"d": DOCUMENT.digest, "s": 0, "t": 0, "later": 1}]},
            "regions": ["us-east-1"],
            "count": 1,
            "change": {"by": "ci", "request_id": "r", "version": "9", "at_ms": 1, "later": 2},
            "later": 3,
        }
    )
    row = ("id", INDEX_TYPE, STREAM, 1, "/shop/orders", dict[str, str | int | bool](), 1, text)
    assert index_of(record(batch_of_rows(BatchId(bytes(16)), [row]))).count == 1
