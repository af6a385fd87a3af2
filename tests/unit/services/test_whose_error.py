"""No event and no producer pays for an error that is a service's: throttles, conflicts, lacking grants."""

from collections.abc import Sequence

import pytest

from eventfabric.errors import (
    ContendedTransactionError,
    LastingError,
    OutcomeUnknownError,
    ThrottledError,
    TransactionRefusedError,
)
from eventfabric.model import EMPTY_TAIL, Batch, Event, ParkedState, Write
from eventfabric.ports import Attempt
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.testing.memory.faults import Fault, Faults
from eventfabric.testing.memory.refusals import CONFLICT, THROTTLE
from eventfabric.testing.memory.table import MemoryTable
from eventfabric.wire.outbox_request import outcome_of
from eventfabric.wire.service_errors import Refusal
from tests.support.memory_fabric import HOME, LANE, event
from tests.support.outbox_producers import OutboxProducers
from tests.support.subscribed_stream import SubscribedStream
from tests.support.writing_handlers import Writing, each_of_its_key, fabric_of, put_of

BUSY = ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded", "ThrottlingOfSomeNewKind"]


def refuse_times(table: MemoryTable, times: int, code: str, *actions: str) -> None:
    """Have a table refuse so many calls of these actions."""
    left = [times]

    def refuser(action: str, key: tuple[object, ...]) -> str | None:
        if action not in actions or not left[0]:
            return None
        left[0] -= 1
        return code

    table.refuser = refuser


@pytest.mark.parametrize("busy", BUSY)
def test_a_busy_row_does_not_refuse_a_producers_transaction(busy: str) -> None:
    with pytest.raises(ThrottledError):
        outcome_of([Refusal("None"), Refusal(busy)], 1)


@pytest.mark.parametrize("code", [THROTTLE, CONFLICT])
def test_a_producers_transaction_waits_for_a_busy_row(code: str) -> None:
    producers = OutboxProducers()
    refuse_times(producers.own, 3, code, "Put")
    with producers.fabric().transaction() as transaction:
        transaction.put("own", {"id": "A-1"})
        transaction.publish("orders", key="k", type="Placed", id="e")
    assert (producers.ids(), len(producers.own.items)) == (["e"], 1)


def test_a_row_that_stays_busy_ends_a_producers_transaction_as_contended_and_not_as_refused() -> None:
    producers = OutboxProducers()
    refuse_times(producers.own, 10**6, THROTTLE, "Put")
    transaction = producers.fabric(timeout_seconds=1).transaction()
    transaction.put("own", {"id": "A-1"})
    transaction.publish("orders", key="k", type="Placed")
    with pytest.raises(ContendedTransactionError) as raised:
        transaction.commit()
    assert not isinstance(raised.value, TransactionRefusedError)


def test_a_producer_waits_for_another_producers_transaction_at_the_tail() -> None:
    fabric = SubscribedStream()
    refuse_times(fabric.cloud.log_table(fabric.stream.name, HOME), 3, CONFLICT, "Put")
    record = fabric.record(EMPTY_TAIL, event("e"))
    batch = Batch(record.batch_id, record.count, record.types, record.payload)
    assert fabric.appender().append(LANE, batch).sequence == 0


class OutOfReach:
    """A handler whose step cannot be noted so many times, and then can."""

    batch_events_max = 1

    def __init__(self, times: int, error: Exception) -> None:
        self.times = times
        self.error = error
        self.tried = 0

    def attempt(self, events: Sequence[Event], attempt: Attempt) -> Sequence[Write]:
        self.tried += 1
        if self.tried <= self.times:
            raise self.error
        return ()


@pytest.mark.parametrize(
    "error", [ThrottledError("begin a step", "busy"), OutcomeUnknownError("finish a step", "no reply")]
)
def test_a_step_that_cannot_be_noted_uses_up_no_attempt(error: Exception) -> None:
    handler = OutOfReach(30, error)
    fabric = SubscribedStream(handler=handler)
    fabric.put(event("e"))
    fabric.deliver()
    while fabric.parked():
        (parked,) = fabric.parked().values()
        assert (parked.state, parked.failure.attempts) == (ParkedState.RETRYING, 0)
        fabric.clock.advance(3600)
        fabric.deliver()
    assert handler.tried > 30


def test_a_handlers_write_to_a_table_that_is_not_there_is_its_events_failure_and_holds_nobody() -> None:
    missing = Write("Put", {**put_of("x").request, "TableName": "absent"})
    handler = Writing({"a": (missing,)})
    fabric = fabric_of(handler, *each_of_its_key("ab"))
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert set(fabric.parked()) == {"a"}
    assert fabric.effects() == {"b": 1}


def test_a_ledger_that_is_denied_is_not_put_down_to_a_handlers_writes() -> None:
    fabric = fabric_of(Writing(), *each_of_its_key("a"))
    denied = Faults(lambda name, number, of_name: Fault.DENIED if name == "ledger.commit" else None)
    with pytest.raises(LastingError):
        fabric.deliver(by=fabric.deliverer(faults=denied))
    assert fabric.parked() == {}
