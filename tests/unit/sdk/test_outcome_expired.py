"""Writes without an answer: settled while the stream keeps their records, and never made at a place already passed."""

import pickle

import pytest

from eventfabric import Fabric
from eventfabric.errors import IndeterminateAppendError, IndeterminateTransactionError, OutcomeExpiredError
from eventfabric.limits import TRANSACTION_TOKEN_SECONDS
from eventfabric.testing.memory.faults import Fault, Faults
from tests.support.expiry import DAY_SECONDS, expire, reconciled
from tests.support.memory_fabric import HOME, LANE, STREAM, batch_of, event
from tests.support.outbox_producers import OutboxProducers
from tests.support.producers import producer
from tests.support.subscribed_stream import SubscribedStream


def cut_off(fabric: SubscribedStream, is_cut: list[bool]) -> Fabric:
    """A producer none of whose requests arrive while the list is not empty."""
    faults = Faults(
        lambda called, overall, of_name: Fault.LOST_REQUEST if is_cut and called == "log.append" else None
    )
    return producer(fabric, {HOME: faults}, timeout_seconds=2)


def unanswered(fabric: SubscribedStream, is_cut: list[bool]) -> IndeterminateAppendError:
    """The error of a publish that never arrived at place 1, where others wrote meanwhile; all is delivered."""
    other = producer(fabric)
    other.publish(STREAM, key="k", type="placed", id="first")
    with pytest.raises(IndeterminateAppendError) as raised:
        cut_off(fabric, is_cut).publish(STREAM, key="k", type="placed", id="mine")
    for name in ("second", "third"):
        other.publish(STREAM, key="k", type="placed", id=name)
    fabric.deliver()
    return pickle.loads(pickle.dumps(raised.value))  # type: ignore[no-any-return]  # what was pickled


def days_pass(fabric: SubscribedStream) -> None:
    for _ in range(6):
        fabric.clock.advance(DAY_SECONDS / 2)
        assert reconciled(fabric) == []
        expire(fabric)


def test_a_write_is_not_made_again_where_what_stood_there_has_expired() -> None:
    memory_fabric, is_cut = SubscribedStream(retention_days=1, lanes=1), [True]
    error = unanswered(memory_fabric, is_cut)
    days_pass(memory_fabric)
    is_cut.clear()
    for fabric in (producer(memory_fabric), cut_off(memory_fabric, is_cut)):
        with pytest.raises(OutcomeExpiredError, match=r"sequence 1 of lane us-east-1/0\.0") as raised:
            fabric.publish_again(error)
        assert (raised.value.retryable, raised.value.no_effect) == (False, False)
    assert producer(memory_fabric).publish(STREAM, key="k", type="placed", id="next").sequence == 3
    memory_fabric.deliver()
    assert memory_fabric.recorder.ids() == ["first", "second", "third", "next"]


def test_a_write_is_settled_while_the_stream_keeps_what_stands_there() -> None:
    fabric, is_cut = SubscribedStream(retention_days=1, lanes=1), [True]
    error = unanswered(fabric, is_cut)
    fabric.clock.advance(DAY_SECONDS / 2)
    is_cut.clear()
    (receipt,) = producer(fabric).publish_again(error)
    assert (receipt.event_id, receipt.sequence) == ("mine", 3)
    fabric.deliver()
    assert fabric.recorder.ids() == ["first", "second", "third", "mine"]


def test_a_transaction_is_not_committed_again_where_what_stood_there_has_expired() -> None:
    memory_fabric, is_cut = SubscribedStream(retention_days=1, lanes=1), [True]
    faults = Faults(lambda called, overall, of_name: Fault.LOST_REQUEST if is_cut else None)
    fabric = producer(memory_fabric, timeout_seconds=2)
    fabric._outbox = faults.outbox(memory_fabric.cloud.outbox(HOME))
    transaction = fabric.transaction()
    transaction.publish(STREAM, key="k", type="placed", id="mine")
    with pytest.raises(IndeterminateTransactionError):
        transaction.commit()
    producer(memory_fabric).publish(STREAM, key="k", type="placed", id="other")
    memory_fabric.deliver()
    days_pass(memory_fabric)
    is_cut.clear()
    with pytest.raises(OutcomeExpiredError):
        transaction.commit()
    assert memory_fabric.recorder.ids() == ["other"]


def test_a_process_that_stood_still_for_days_puts_nothing_where_others_have_been() -> None:
    fabric = SubscribedStream(retention_days=1, lanes=1)
    fabric.put(event("first"))
    appender = fabric.appender(retention_seconds=DAY_SECONDS)
    slow = fabric.appender(retention_seconds=DAY_SECONDS, timeout_seconds=10 * DAY_SECONDS)
    tail = slow._ends.tail

    def stand_still(lane: object) -> object:
        slow._ends.tail = tail  # type: ignore[method-assign]  # as it was
        read_tail = tail(LANE)
        appender.append(LANE, batch_of([event("second")], b"second".ljust(16)))
        fabric.deliver()
        days_pass(fabric)
        return read_tail

    slow._ends.tail = stand_still  # type: ignore[method-assign,assignment]  # between two calls
    landed = slow.append(LANE, batch_of([event("third")], b"third".ljust(16)))
    assert landed.sequence == 2
    fabric.deliver()
    assert fabric.recorder.ids() == ["first", "second", "third"]


@pytest.mark.parametrize("back_seconds", [0, 3600])
def test_a_transaction_without_an_event_is_not_sent_again_when_its_token_may_be_forgotten(
    back_seconds: int,
) -> None:
    producers = OutboxProducers()
    faults = Faults(lambda name, number, of_name: Fault.LOST_REPLY if name == "transact" else None)
    transaction = producers.fabric(faults, timeout_seconds=1).transaction()
    transaction.update("own", {"id": "account"}, "ADD balance :ten", values={":ten": 10})
    with pytest.raises(IndeterminateTransactionError):
        transaction.commit()
    faults.heal()
    producers.clock.advance(TRANSACTION_TOKEN_SECONDS - 60)
    assert transaction.commit() == []
    faults.rules.append(lambda name, number, of_name: Fault.LOST_REPLY if name == "transact" else None)
    again = producers.fabric(faults, timeout_seconds=1).transaction()
    again.update("own", {"id": "account"}, "ADD balance :ten", values={":ten": 10})
    with pytest.raises(IndeterminateTransactionError):
        again.commit()
    faults.heal()
    producers.clock.advance(TRANSACTION_TOKEN_SECONDS + 1)
    if back_seconds:
        producers.clock.set_back(back_seconds)
    with pytest.raises(OutcomeExpiredError, match="without an event in it nothing tells"):
        again.commit()
    assert [item["balance"] for item in producers.own.items] == [{"N": "20"}]
