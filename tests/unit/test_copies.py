"""Copied processes: nothing that makes ids, holds locks or recognises its own writes goes on as the original's."""

import os
import pickle
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from gc import collect

import pytest

from eventfabric import copies
from eventfabric.aws.system import SystemEntropy
from eventfabric.model import (
    EMPTY_TAIL,
    Batch,
    BatchId,
    Chain,
    HybridTime,
    Lane,
    Note,
    Record,
    SequenceNumber,
    record_at,
)
from eventfabric.sdk.event_ids import EventIds
from eventfabric.testing.memory.entropy import SeededEntropy

LANE = Lane.parse("us-east-1/0.0")


def in_a_fork(call: Callable[[], bytes]) -> bytes:
    """Return the result of the call in a forked child."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writer, call())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        content = pipe.read()
    os.waitpid(child, 0)
    return content


def record(**changed: object) -> Record:
    batch = Batch(BatchId(b"b" * 16), 2, frozenset({"Placed"}), b"\1payload")
    put = record_at(EMPTY_TAIL, LANE, batch, now_ms=1_000, retention_seconds=60)
    return replace(put, **changed)  # type: ignore[arg-type]  # a test names the field


def test_a_forked_child_draws_other_random_bytes_than_its_parent_and_its_siblings() -> None:
    entropy = SystemEntropy()
    entropy.bytes(16)  # a block is drawn, and most of it is left
    drawn = [in_a_fork(lambda: entropy.bytes(16)) for _ in range(3)]
    assert len({*drawn, entropy.bytes(16)}) == 4


def test_a_forked_child_makes_other_event_ids_than_its_parent() -> None:
    ids = EventIds(SystemEntropy())
    ids.next(1_000)
    theirs = in_a_fork(lambda: ids.next(1_000).encode()).decode()
    assert theirs != ids.next(1_000)


def test_a_lock_that_another_thread_holds_over_the_fork_stops_nobody_in_the_child() -> None:
    entropy = SystemEntropy()
    with entropy._lock:
        assert len(in_a_fork(lambda: entropy.bytes(16))) == 16


def test_a_restored_snapshot_draws_other_random_bytes_than_the_next_restored_one() -> None:
    entropy, ids = SystemEntropy(), EventIds(SystemEntropy())
    entropy.bytes(16)
    ids.next(1_000)
    block, suffixes = entropy._block, list(ids._suffixes)
    copies._after_restore()
    assert entropy.bytes(16) not in block
    assert ids.next(1_000)[14:] not in suffixes


def test_what_is_pickled_or_copied_of_random_bytes_is_none_of_them() -> None:
    entropy, ids = SystemEntropy(), EventIds(SeededEntropy(1))
    entropy.bytes(16)
    for other in (copy(entropy), pickle.loads(pickle.dumps(entropy))):
        assert other.bytes(16) not in entropy._block
    ids.next(1_000)
    assert copy(ids)._suffixes == []


def test_fractions_are_below_one_and_differ() -> None:
    fractions = [SystemEntropy().fraction() for _ in range(100)]
    assert all(0 <= fraction < 1 for fraction in fractions)
    assert len(set(fractions)) == 100


def test_what_was_dropped_is_not_renewed_and_not_held() -> None:
    before = len(copies._copied)
    entropy = SystemEntropy()
    assert len(copies._copied) == before + 1
    del entropy
    collect()
    assert len(copies._copied) <= before


def test_a_record_is_known_again_though_its_expiry_was_put_off() -> None:
    assert record().holds(record())
    assert record(expires_at=9_999_999).holds(record())
    assert record().holds(record(expires_at=None))


@pytest.mark.parametrize(
    "changed",
    [
        {"lane": Lane.parse("us-west-2/0.0")},
        {"sequence": SequenceNumber(1)},
        {"count": 3},
        {"chain": Chain(b"c" * 16)},
        {"batch_id": BatchId(b"c" * 16)},
        {"time": HybridTime(7)},
        {"types": frozenset({"Paid"})},
        {"payload": b"\1other"},
        {"note": Note(LANE, SequenceNumber(4))},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_record_that_differs_in_anything_else_is_anothers(changed: dict[str, object]) -> None:
    assert not record(**changed).holds(record())


def test_copies_of_a_batch_are_known_by_all_that_they_hold() -> None:
    assert record().is_copy_of(
        record(lane=Lane.parse("us-west-2/0.0"), sequence=SequenceNumber(9), chain=Chain(b""))
    )
    for field, value in (("payload", b"\1other"), ("count", 3), ("types", frozenset("x")), ("batch_id", b"")):
        assert not record().is_copy_of(record(**{field: value}))
