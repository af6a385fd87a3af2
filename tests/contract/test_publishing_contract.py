"""The promises of ports.Ledger for commits that publish, on every backend."""

import pytest

from eventfabric.errors import OutcomeUnknownError
from eventfabric.model import (
    EMPTY_TAIL,
    START,
    Batch,
    BatchId,
    Chain,
    Committed,
    Cursor,
    Lane,
    LaneKey,
    Occupied,
    RaceLost,
    Record,
    SequenceNumber,
    StreamName,
    SubscriptionName,
    Tail,
    Write,
    WriteRefused,
    record_at,
)
from eventfabric.wire.payload_codec import pack, stored
from tests.support.backends import HOME, LOG_TABLE, OWN_TABLE, Backend
from tests.support.memory_fabric import event

LANE = Lane.parse(f"{HOME}/0.0")
KEY = LaneKey(StreamName("orders"), SubscriptionName("billing"), LANE)
MOVED = Cursor(SequenceNumber(3), SequenceNumber(3), Chain(bytes(16)))
TOKEN = b"t" * 16


def record(name: str, tail: Tail = EMPTY_TAIL, *, now_ms: int = 1) -> Record:
    batch = Batch(BatchId(name.encode().ljust(16)), 1, frozenset({"placed"}), pack([stored(event(name))]))
    return record_at(tail, LANE, batch, now_ms=now_ms, retention_seconds=None)


def row(name: str, **more: object) -> Write:
    return Write("Put", {"TableName": OWN_TABLE, "Item": {"id": {"S": name}}, **more})


def commit(
    backend: Backend, *records: Record, writes: tuple[Write, ...] = (), read: Cursor = START
) -> object:
    placed = [(LOG_TABLE, record) for record in records]
    return backend.ledger.commit(KEY, read, MOVED, writes=writes, records=placed, token=TOKEN)


def logged(backend: Backend) -> list[Record]:
    return list(backend.log.read(LANE, SequenceNumber(0), records_max=10).records)


def test_records_writes_and_the_cursor_are_written_together(backend: Backend) -> None:
    first = record("a")
    second = record("b", first.tail)
    assert isinstance(commit(backend, first, second, writes=(row("r"),)), Committed)
    assert logged(backend) == [first, second]
    assert backend.get(OWN_TABLE, {"id": {"S": "r"}}) is not None
    assert backend.ledger.state(KEY).cursor(HOME).sequence == 3


def test_a_place_that_is_taken_is_named_and_nothing_is_written(backend: Backend) -> None:
    other = record("other")
    assert backend.log.append(other) is None
    mine = record("mine")
    assert commit(backend, mine, writes=(row("r"),)) == Occupied(0, other)
    assert backend.get(OWN_TABLE, {"id": {"S": "r"}}) is None
    assert backend.ledger.state(KEY).cursor(HOME) == START
    assert isinstance(commit(backend, record("mine", other.tail), writes=(row("r"),)), Committed)
    assert [record.batch_id for record in logged(backend)] == [other.batch_id, mine.batch_id]


@pytest.mark.parametrize("is_taken", [False, True])
def test_a_commit_without_a_reply_recognises_itself_whatever_records_go_with_it(
    backend: Backend, is_taken: bool
) -> None:
    backend.lose_replies(3)  # the adapter tries as often itself
    first = record("a")
    with pytest.raises(OutcomeUnknownError):
        commit(backend, first)
    again = record("a", first.tail, now_ms=9) if is_taken else record("a", now_ms=9)
    assert isinstance(commit(backend, again), Committed)
    assert logged(backend) == [first]


def test_a_lost_race_goes_before_a_place_that_is_taken(backend: Backend) -> None:
    other = record("other")
    assert backend.log.append(other) is None
    assert isinstance(backend.ledger.commit(KEY, START, MOVED), Committed)
    assert commit(backend, record("mine")) == RaceLost()


def test_a_place_that_is_taken_goes_before_a_write_that_is_refused(backend: Backend) -> None:
    other = record("other")
    assert backend.log.append(other) is None
    refused = row("r", ConditionExpression="attribute_exists(id)")
    assert commit(backend, record("mine"), writes=(refused,)) == Occupied(0, other)
    outcome = commit(backend, record("mine", other.tail), writes=(refused,))
    assert isinstance(outcome, WriteRefused)
    assert (outcome.index, outcome.code) == (0, "ConditionalCheckFailed")
    assert logged(backend) == [other]
