"""A commit and a takeover of parked keys stay within what one transaction takes, whatever waits in them."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from eventfabric import limits
from eventfabric.errors import RefusedError
from eventfabric.model import START, Event, Parked, ParkedChange, Write
from eventfabric.ports import Attempt
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.testing.memory.faults import Faults
from eventfabric.wire.commit_size import CommitSize, in_commits, size_of_writes
from tests.support.failing_handlers import BAD_ORDER, BadOrder, retry
from tests.support.handovers import hand_over
from tests.support.memory_fabric import AWAY, LANE, event
from tests.support.recording_handler import EFFECTS, Recorder
from tests.support.subscribed_stream import SubscribedStream

KEYS = 95


def test_95_dead_keys_with_thousands_of_waiting_events_each_go_on_and_are_taken_over() -> None:
    recorder = Recorder(before=_refuse)
    fabric = SubscribedStream(handler=recorder, **retry(permanent=[BAD_ORDER]))
    for number in range(10 * limits.PARKED_PLACES_MAX // 9):
        fabric.put(*(event(f"{key}-{number}", key=f"k{key}") for key in range(KEYS)))
    assert fabric.deliver(time_ms=10**9).outcome is LaneOutcome.DELIVERED
    assert {len(parked.waiting) for parked in fabric.parked().values()} == {limits.PARKED_PLACES_MAX}
    fabric.put(event("new", key="k0"))
    assert fabric.deliver(time_ms=10**9).outcome is LaneOutcome.DELIVERED

    fabric.cloud.replicate()
    away = fabric.in_region(AWAY, handler=recorder)
    hand_over(away)
    assert away.deliver(time_ms=10**9).outcome is LaneOutcome.DUPLICATE
    assert (len(away.parked()), away.cursor().sequence) == (KEYS, fabric.cursor().sequence)


def test_writes_of_several_events_that_are_too_much_for_one_commit_go_in_several() -> None:
    large = "x" * 300 * 1024

    class Storing(Recorder):
        def attempt(self, events: Sequence[Event], attempt: Attempt) -> Sequence[Write]:
            super().attempt(events, attempt)
            return [
                Write("Put", {"TableName": EFFECTS, "Item": {"id": {"S": str(event.id)}, "d": {"S": large}}})
                for event in events
            ]

    fabric = SubscribedStream(handler=Storing(), guarantee="exactly_once")
    fabric.put(*(event(f"{number}", key=f"k{number}") for number in range(30)))
    faults = Faults()
    assert fabric.deliver(by=fabric.deliverer(faults=faults)).outcome is LaneOutcome.DELIVERED
    assert len(fabric.recorder.attempts) == 30
    assert faults.count("ledger.commit") == 3


def test_edited_keys_are_taken_over_as_many_at_a_time_as_fit() -> None:
    fabric = SubscribedStream(handler=Recorder(before=_refuse), **retry(permanent=[BAD_ORDER]))
    fabric.put(event("0", key="k"))
    fabric.deliver()
    (parked,) = fabric.parked().values()
    edited = [ParkedChange(None, replace_with(parked, number)) for number in range(40)]
    parts = list(in_commits(edited))
    assert [change for part in parts for change in part] == edited
    assert [len(part) for part in parts] == [13, 13, 13, 1]


def test_a_commit_of_too_much_is_refused_before_it_is_sent() -> None:
    fabric = SubscribedStream(handler=Recorder(before=_refuse), **retry(permanent=[BAD_ORDER]))
    fabric.put(event("0", key="k"))
    fabric.deliver()
    (parked,) = fabric.parked().values()
    edited = [ParkedChange(None, replace_with(parked, number)) for number in range(40)]
    with pytest.raises(RefusedError, match="TransactionTooLarge: 41 writes"):
        fabric.cloud.ledger(LANE.origin).commit(fabric.key_of(LANE), START, START, parked=edited)


def test_what_fits_one_commit_is_counted_by_actions_and_by_bytes() -> None:
    assert CommitSize(limits.TRANSACTION_ACTIONS_MAX - 1, 0).fits
    assert not CommitSize(limits.TRANSACTION_ACTIONS_MAX, 0).fits
    assert not CommitSize(1, limits.TRANSACTION_BYTES_MAX).fits
    assert size_of_writes([Write("Put", {"Item": {"id": {"S": "a" * 100}}})]).bytes > 100


def replace_with(parked: Parked, number: int) -> Parked:
    return replace(
        parked, id=f"k/{number}", key=f"{number}", replacement=bytes(limits.RECORD_PAYLOAD_BYTES_MAX)
    )


def _refuse(events: object) -> None:
    raise BadOrder("\x00" * 5_000)
