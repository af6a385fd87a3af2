"""Producers' transactions: writes and events together, once, whatever happens to the replies; and publishing once."""

from random import Random
from typing import Any

import pytest

from eventfabric.errors import (
    ContendedTransactionError,
    EventFabricError,
    IndeterminateTransactionError,
    InvalidEventError,
    TransactionRefusedError,
)
from eventfabric.testing.memory.faults import Fault, Faults, at_random, nth
from tests.support.outbox_producers import US, OutboxProducers


def test_writes_and_events_of_several_streams_become_durable_together() -> None:
    producers = OutboxProducers()
    with producers.fabric().transaction() as transaction:
        transaction.put("own", {"id": "A-1", "total": 3})
        for number in range(5):
            transaction.publish("orders", key=f"k{number}", type="Placed", id=f"e{number}")
        transaction.publish("audit", key="k", type="Seen", id="seen")
        assert producers.events() == []
    assert [item["id"]["S"] for item in producers.own.items] == ["A-1"]
    assert (producers.ids(), producers.ids("audit")) == (["e0", "e1", "e2", "e3", "e4"], ["seen"])
    places = {
        str(event.id): (event.lane, event.sequence)
        for event in [*producers.events(), *producers.events("audit")]
    }
    assert [r.event_id for r in transaction.receipts] == ["e0", "e1", "e2", "e3", "e4", "seen"]
    assert all(places[r.event_id] == (r.lane, r.sequence) for r in transaction.receipts)


def test_a_block_that_raises_writes_nothing() -> None:
    producers = OutboxProducers()
    with pytest.raises(KeyError), producers.fabric().transaction() as transaction:
        transaction.put("own", {"id": "A-1"})
        transaction.publish("orders", key="k", type="Placed")
        raise KeyError
    assert (producers.own.items, producers.events()) == ([], [])


def test_a_refused_write_is_named_and_nothing_is_written() -> None:
    producers = OutboxProducers()
    producers.own.write("Put", {"Item": {"id": {"S": "taken"}}})
    transaction = producers.fabric().transaction()
    transaction.put("own", {"id": "new"})
    transaction.put("own", {"id": "taken"}, condition="attribute_not_exists(id)")
    transaction.publish("orders", key="k", type="Placed")
    with pytest.raises(TransactionRefusedError, match="write 1 ") as refused:
        transaction.commit()
    assert (refused.value.index, refused.value.code) == (1, "ConditionalCheckFailed")
    assert (len(producers.own.items), producers.events()) == (1, [])


def test_two_writes_of_one_item_are_refused() -> None:
    transaction = OutboxProducers().fabric().transaction()
    for _ in range(2):
        transaction.put("own", {"id": "A-1"})
    transaction.publish("orders", key="k", type="Placed")
    with pytest.raises(TransactionRefusedError, match=r"SameItemTwice"):
        transaction.commit()


def test_a_bad_event_is_refused_where_it_is_published() -> None:
    producers = OutboxProducers()
    with pytest.raises(InvalidEventError), producers.fabric().transaction() as transaction:
        transaction.publish("orders", key="", type="Placed")
    with pytest.raises(EventFabricError, match="has ended"):
        transaction.publish("orders", key="k", type="Placed")
    with producers.fabric().transaction():
        pass


def test_another_publisher_in_the_way_only_moves_the_place() -> None:
    producers = OutboxProducers()
    fabric, other = producers.fabric(), producers.fabric()
    transaction = fabric.transaction()
    transaction.put("own", {"id": "A-1"})
    transaction.publish("audit", key="k", type="Placed", id="mine")
    faults = Faults()
    append = transaction._make_append

    def overtaken(*arguments: Any) -> Any:
        made = append(*arguments)
        # The tail is read, and then somebody else writes there.
        made._tails.records(made._postings)
        other.publish("audit", key="k", type="Placed", id="other")
        return made

    transaction._make_append = overtaken
    (receipt,) = transaction.commit()
    assert receipt.sequence == 1
    assert [event.id for event in producers.events("audit")] == ["other", "mine"]
    assert faults.calls == []


@pytest.mark.parametrize("fault", [Fault.LOST_REPLY, Fault.LOST_REQUEST])
def test_a_transaction_without_a_reply_is_settled_by_committing_again(fault: Fault) -> None:
    producers = OutboxProducers()
    faults = Faults(lambda name, number, of_name: fault if name == "transact" else None)
    transaction = producers.fabric(faults, timeout_seconds=1).transaction()
    transaction.put("own", {"id": "A-1", "n": 1}, condition="attribute_not_exists(id)")
    transaction.publish("orders", key="k", type="Placed", id="e")
    with pytest.raises(IndeterminateTransactionError):
        transaction.commit()
    producers.clock.advance(3600)  # longer than DynamoDB knows the token
    faults.heal()
    (receipt,) = transaction.commit()
    assert (producers.ids(), receipt.sequence, len(producers.own.items)) == (["e"], 0, 1)


def test_throttles_until_the_time_is_up_write_nothing() -> None:
    producers = OutboxProducers()
    faults = Faults(lambda name, number, of_name: Fault.THROTTLED if name == "transact" else None)
    transaction = producers.fabric(faults, timeout_seconds=1).transaction()
    transaction.publish("orders", key="k", type="Placed")
    with pytest.raises(ContendedTransactionError, match="simulated"):
        transaction.commit()
    assert producers.events() == []


def test_publishing_once_gives_the_first_receipt_for_ever() -> None:
    producers = OutboxProducers()
    first = producers.fabric().publish("orders", key="k", type="Placed", id="e", once=True)
    producers.clock.advance(3600)
    again = producers.fabric().publish(
        "orders", key="k", type="Placed", id="e", once=True, headers={"try": 2}
    )
    assert again == first
    assert producers.ids() == ["e"]
    (note,) = [i for i in producers.cloud.regions[US].table("shop-orders").items if "l" in i]
    assert int(note["x"]["N"]) > producers.clock.now_ms() / 1000


def test_publishing_once_asks_for_an_id() -> None:
    with pytest.raises(InvalidEventError, match="id: found none"):
        OutboxProducers().fabric().publish("orders", key="k", type="Placed", once=True)


@pytest.mark.parametrize("seed", range(30))
def test_two_producers_that_lose_replies_publish_each_event_once(seed: int) -> None:
    fabric, random = OutboxProducers(seed=seed), Random(seed)
    faults = [
        Faults(at_random(0.4, [Fault.LOST_REPLY, Fault.LOST_REQUEST, Fault.THROTTLED], seed=seed + number))
        for number in range(2)
    ]
    producers = [fabric.fabric(fault, tries=1) for fault in faults]
    wanted = [f"e{number}" for number in range(12)]
    for name in [*wanted, *random.sample(wanted, 6)]:
        producer, key = random.choice(producers), "ab"[wanted.index(name) % 2]
        producer.publish("orders", key=key, type="Placed", id=name, once=True)
    assert fabric.ids() == sorted(wanted)


def test_a_note_is_no_news_to_the_relay_and_belongs_to_its_region() -> None:
    producers = OutboxProducers()
    producers.fabric(Faults(nth(99, Fault.THROTTLED))).publish(
        "orders", key="k", type="Placed", id="e", once=True
    )
    producers.cloud.replicate()
    assert producers.ids() == ["e"]
