"""Declarations that another version, or a script, has appended to a lane."""

from collections.abc import Callable
from typing import Any

import msgspec

from eventfabric.model import BatchId, DeclarationLane, record_at
from eventfabric.ports import Clock, Log
from eventfabric.wire.batch import batch_of_rows
from eventfabric.wire.declaration import TYPE
from eventfabric.wire.payload_codec import Row, unpack


def append_content(log: Log, lane: DeclarationLane, clock: Clock, edited: Callable[[bytes], bytes]) -> None:
    """Append to a lane what its newest declaration becomes by an edit of its JSON."""
    [record] = log.recent(lane, records_max=1).records
    [event] = unpack(record)
    now_ms = clock.now_ms()
    content = edited(event.payload.content)
    row: Row = ("later", TYPE, lane.stream, now_ms * 1000, "/shop", {}, 1, content)
    batch = batch_of_rows(BatchId(record.sequence.to_bytes(16, "big")), [row])
    assert log.append(record_at(record.tail, lane, batch, now_ms=now_ms, retention_seconds=None)) is None


def append_later(
    log: Log, lane: DeclarationLane, clock: Clock, edit: Callable[[dict[str, Any]], None]
) -> None:
    """Append the newest declaration again with other members, such as a later version may give it."""

    def edited(content: bytes) -> bytes:
        members = msgspec.json.decode(content)
        edit(members)
        return msgspec.json.encode(members)

    append_content(log, lane, clock, edited)
