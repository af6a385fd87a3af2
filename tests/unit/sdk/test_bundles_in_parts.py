"""Bundles that land in several parts, each with a place of its own."""

from collections.abc import Callable

import pytest

from eventfabric import Event
from eventfabric.errors import (
    ContendedAppendError,
    IndeterminateAppendError,
    PublishFailedError,
    PublishNotAttemptedError,
)
from eventfabric.model import EMPTY_TAIL, Batch, BatchId, Lane, record_at
from eventfabric.sdk.pending import PendingReceipt
from eventfabric.sdk.publisher import Publisher
from eventfabric.services.publishing.append import Appended
from eventfabric.testing.memory.faults import Fault
from eventfabric.wire.batch import batch_of_rows
from eventfabric.wire.payload_codec import stored, unpack
from tests.unit.sdk.test_publisher import PublishedLog

TYPES = ("Placed", "Paid", "Paid", "Placed", "Sent", "Sent", "Placed")


def land_in_parts(publisher: Publisher, monkeypatch: pytest.MonkeyPatch, count: int) -> list[Batch]:
    """Have each record take so many events at most. Return the batches that are given to be appended, as they come."""
    whole, given = publisher.outgoing.append, list[Batch]()

    def append(lane: Lane, batch: Batch, *, acks: int, is_atomic: bool, doubt: None) -> Appended:
        given.append(batch)
        assert not is_atomic
        if batch.count > count:
            events = unpack(record_at(EMPTY_TAIL, lane, batch, now_ms=0, retention_seconds=None))
            batch = batch_of_rows(
                BatchId(bytes([len(given)]) * 16), [stored(event) for event in events[:count]]
            )
        return whole(lane, batch, acks=acks, is_atomic=is_atomic, doubt=doubt)

    monkeypatch.setattr(publisher.outgoing, "append", append)
    return given


def publish_all(publisher: Publisher) -> list[PendingReceipt]:
    """Publish an event of each type, in one lane and with attributes that change."""
    return [
        publisher.publish_event(
            Event(key="a", type=type_, id=f"e{index}", headers={"n": index // 3}, data=index)
        )
        for index, type_ in enumerate(TYPES)
    ]


@pytest.mark.parametrize(("count", "records"), [(1, 7), (2, 4), (3, 3), (6, 2), (7, 1)])
def test_a_bundle_lands_part_by_part_and_each_event_has_its_own_place(
    count: int, records: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fabric = PublishedLog()
    with fabric.fabric.publisher("orders", linger_ms=60_000) as publisher:
        given = land_in_parts(publisher, monkeypatch, count)
        pending = publish_all(publisher)
    assert [batch.count for batch in given] == [7 - count * number for number in range(records)]
    assert [receipt.result().sequence for receipt in pending] == list(range(7))
    assert [receipt.result().event_id for receipt in pending] == [f"e{index}" for index in range(7)]
    events = [event for record in fabric.packed() for event in record]
    assert len(fabric.packed()) == records
    assert [(event.id, event.type, event.headers["n"], event.data) for event in events] == [
        (f"e{index}", type_, index // 3, index) for index, type_ in enumerate(TYPES)
    ]


def failing_at_third_record(fault: Fault) -> Callable[[str, int, int], Fault | None]:
    """Let every put from the third on fail."""
    puts = list[int]()

    def rule(name: str, *_: int) -> Fault | None:
        if name == "log.append":
            puts.append(1)
        return fault if name == "log.append" and len(puts) > 2 else None

    return rule


def test_an_error_is_that_of_the_events_that_did_not_land(monkeypatch: pytest.MonkeyPatch) -> None:
    fabric = PublishedLog(failing_at_third_record(Fault.THROTTLED))
    with (
        pytest.raises(PublishFailedError) as caught,
        fabric.fabric.publisher("orders", linger_ms=60_000) as publisher,
    ):
        land_in_parts(publisher, monkeypatch, 2)
        pending = publish_all(publisher)
    assert [event_id for event_id, _ in caught.value.failures] == ["e4", "e5", "e6"]
    assert caught.value.published == 4
    assert [receipt.result().sequence for receipt in pending[:4]] == [0, 1, 2, 3]
    for receipt in pending[4:]:
        with pytest.raises(ContendedAppendError):
            receipt.result()


def test_what_is_behind_a_part_in_doubt_is_not_attempted_and_the_doubt_is_of_that_part_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fabric = PublishedLog(failing_at_third_record(Fault.LOST_REQUEST))
    publisher = fabric.fabric.publisher("orders", linger_ms=60_000)
    land_in_parts(publisher, monkeypatch, 2)
    pending = publish_all(publisher)
    behind = publisher.publish(key="a", type="Placed", id="behind")
    with pytest.raises(PublishFailedError) as caught:
        publisher.close()
    assert [event_id for event_id, _ in caught.value.failures] == ["e4", "e5", "e6", "behind"]
    kinds = [type(error) for _, error in caught.value.failures]
    assert kinds == [IndeterminateAppendError] * 2 + [PublishNotAttemptedError] * 2
    doubt = caught.value.failures[0][1]
    assert isinstance(doubt, IndeterminateAppendError)
    assert isinstance(doubt.batch, Batch)
    assert doubt.batch.count == 2
    assert caught.value.failures[2][1].__cause__ is doubt
    assert [receipt.result().sequence for receipt in pending[:4]] == [0, 1, 2, 3]
    with pytest.raises(PublishNotAttemptedError):
        behind.result()


def test_only_failures_that_nobody_saw_are_raised_on_exit(monkeypatch: pytest.MonkeyPatch) -> None:
    fabric = PublishedLog(failing_at_third_record(Fault.THROTTLED))
    with (
        pytest.raises(PublishFailedError) as caught,
        fabric.fabric.publisher("orders", linger_ms=60_000) as publisher,
    ):
        land_in_parts(publisher, monkeypatch, 2)
        pending = publish_all(publisher)
        publisher.flush()
        with pytest.raises(ContendedAppendError):
            pending[5].result()
    assert [event_id for event_id, _ in caught.value.failures] == ["e4", "e6"]


def test_the_place_of_an_appended_batch_says_how_many_events_stand_there() -> None:
    fabric = PublishedLog()
    outgoing = fabric.fabric.publisher("orders").outgoing
    encoded = outgoing.encode({"key": "a", "type": "Placed", "data": 1})
    appended = outgoing.append(outgoing.lane_of(encoded), outgoing.batch_of_one(encoded))
    assert (appended.sequence, appended.count) == (0, 1)
