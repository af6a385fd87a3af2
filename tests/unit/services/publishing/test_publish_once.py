"""Publishing once: what is known again is compared, and an event is its source and its id."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventfabric import Event
from eventfabric.errors import OnceConflictError
from eventfabric.model import Region
from eventfabric.testing.memory.faults import Fault, Faults, nth
from eventfabric.wire.item_size import item_bytes
from eventfabric.wire.keys import once_key
from tests.support.outbox_producers import US, OutboxProducers

EVENT: dict[str, Any] = {"key": "k", "type": "Placed", "id": "e", "data": {"total": 1, "of": [None, 1.5]}}


def publish(producers: OutboxProducers, **changed: Any) -> Any:
    return producers.fabric().publish("orders", once=True, **{**EVENT, **changed})


@pytest.mark.parametrize(
    ("changed", "differs"),
    [
        ({"key": "other"}, ("key",)),
        ({"type": "Paid"}, ("type",)),
        ({"data": {"total": 2, "of": [None, 1.5]}}, ("data",)),
        ({"data": None}, ("data",)),
        ({"data": b'{"of":[null,1.5],"total":1}'}, ("data",)),
        ({"key": "other", "type": "Paid", "data": 1}, ("key", "type", "data")),
    ],
    ids=repr,
)
def test_another_event_of_that_source_and_id_is_refused_by_what_differs(
    changed: dict[str, object], differs: tuple[str, ...]
) -> None:
    producers = OutboxProducers()
    first = publish(producers)
    with pytest.raises(OnceConflictError, match="published once already") as refused:
        publish(producers, **changed)
    error = refused.value
    assert (error.differs, error.event_id, error.source) == (differs, "e", "/shop/orders")
    assert (error.lane, error.sequence) == (first.lane, first.sequence)
    assert (error.retryable, error.no_effect) == (False, True)
    assert producers.ids() == ["e"]
    assert publish(producers) == first, "the first stands as it did"


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"data": {"of": [None, 1.5], "total": 1}},
        {"data": msgspec.Raw(b' {"of" : [null, 1.5],\n"total":1}')},
        {"headers": {"attempt": 2}},
        {"time": "2026-11-28T10:00:00Z"},
    ],
    ids=["as it was", "names in another order", "raw text", "headers", "time"],
)
def test_the_same_event_is_known_again_whatever_its_try(changed: dict[str, object]) -> None:
    producers = OutboxProducers()
    first = publish(producers)
    producers.clock.advance(60)
    assert publish(producers, **changed) == first
    assert producers.ids() == ["e"]


def test_the_same_id_of_another_source_is_another_event() -> None:
    producers = OutboxProducers()
    receipts = [publish(producers, source=source) for source in ("/till", "/web", "/till")]
    assert receipts[0] == receipts[2] != receipts[1]
    assert [event.source for event in producers.events()] == ["/till", "/web"]


def test_data_whose_numbers_differ_in_a_digit_that_no_float_holds_is_another() -> None:
    producers = OutboxProducers()
    publish(producers, data=msgspec.Raw(b"1e-400"))
    publish(producers, data=msgspec.Raw(b"1E-400"))
    for other in (b"0.0", b"2e-400", b"12345678901234567890123"):
        with pytest.raises(OnceConflictError):
            publish(producers, data=msgspec.Raw(other))


def test_a_lost_reply_is_not_taken_for_another_event() -> None:
    producers = OutboxProducers()
    fabric = producers.fabric(Faults(nth(1, Fault.LOST_REPLY, name="transact")), tries=1)
    receipt = fabric.publish("orders", once=True, **EVENT)
    assert publish(producers) == receipt
    assert producers.ids() == ["e"]


def test_a_transactions_events_and_those_published_once_are_separate() -> None:
    producers = OutboxProducers()
    with producers.fabric().transaction() as transaction:
        transaction.publish("orders", **EVENT)
    publish(producers)
    assert producers.ids() == ["e", "e"]


def test_the_largest_key_type_and_source_leave_a_small_note() -> None:
    producers = OutboxProducers()
    publish(producers, key="k" * 1024, type="t" * 128, source="s" * 512, id="i" * 128, data="x" * 200_000)
    note = min(producers.cloud.regions[US].table("shop-orders").items, key=item_bytes)
    assert item_bytes(note) < 300


@given(st.tuples(st.text(), st.text()), st.tuples(st.text(), st.text()))
def test_no_two_pairs_of_source_and_id_share_their_note(
    pair: tuple[str, str], other: tuple[str, str]
) -> None:
    region = Region(US)
    assert (once_key(region, *pair) == once_key(region, *other)) == (pair == other)
    shifted = once_key(region, pair[0] + pair[1], ""), once_key(region, "", pair[0] + pair[1])
    assert (shifted[0] == shifted[1]) == (pair[0] + pair[1] == "")


def test_events_in_the_log_are_as_they_were_given() -> None:
    producers = OutboxProducers()
    publish(producers)
    (event,) = producers.events()
    assert isinstance(event, Event)
    assert (event.id, event.key, event.type, event.data) == ("e", "k", "Placed", EVENT["data"])
