"""Batches that are decided: a visit steps over them, whoever decided."""

from dataclasses import replace

import pytest

from eventfabric.model import (
    START,
    BatchId,
    Committed,
    Decided,
    Decision,
    Lane,
    Note,
    Record,
    SequenceNumber,
    record_at,
)
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.services.delivery.visited_lane import settle_notes
from eventfabric.telemetry import Metric
from tests.support.memory_fabric import AWAY, HOME, LANE, batch_of, event, lane
from tests.support.subscribed_stream import SubscribedStream
from tests.unit.services.delivery.test_notes import BATCH, NOTED_LANE, decision, noted, settled

FIRST, SECOND = BatchId(b"1" * 16), BatchId(b"2" * 16)
OTHER = lane(1)


def put_batch(
    fabric: SubscribedStream, name: str, batch_id: BatchId, of: Lane, note: Note | None = None
) -> Record:
    """One record with that batch, noted or not, in a lane of HOME."""
    batch = replace(batch_of([event(name)], batch_id), note=note)
    tail = fabric.origin_log.tail(of)
    record = record_at(tail, of, batch, now_ms=fabric.clock.now_ms(), retention_seconds=None)
    assert fabric.origin_log.append(record) is None
    return record


def decide(fabric: SubscribedStream, made: Decision, *, of: Lane = LANE) -> None:
    """Write down a decision about a batch whose first copy stands in that lane."""
    decided = [Decided(fabric.key_of(of), made, fabric.clock.now_ms() // 1000 + 60)]
    state = fabric.ledger.state(fabric.key_of(NOTED_LANE)).cursor(made.region)
    ledger = fabric.cloud.ledger(made.region)
    assert isinstance(ledger.commit(fabric.key_of(NOTED_LANE), state, state, decided=decided), Committed)


def test_a_visit_that_decides_about_one_batch_still_steps_over_those_that_were_decided_before() -> None:
    fabric = SubscribedStream()
    decide(fabric, Decision(HOME, FIRST, noted_wins=True))
    put_batch(fabric, "elsewhere", FIRST, LANE)
    put_batch(fabric, "there", SECOND, OTHER)
    put_batch(fabric, "there", SECOND, LANE, Note(OTHER, SequenceNumber(0)))
    fabric.put(event("here"))
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert (fabric.recorder.ids(), fabric.cursor().sequence) == (["here"], 3)
    assert fabric.telemetry.totals[Metric.COPIES_SETTLED] == 1
    fabric.deliver(OTHER)
    assert fabric.recorder.ids() == ["here", "there"]


@pytest.mark.parametrize("mine", [True, False])
def test_where_each_region_delivers_all_what_another_decided_does_not_count(mine: bool) -> None:
    fabric = SubscribedStream(deliver="everywhere")
    decide(fabric, decision(mine, HOME))
    decide(fabric, decision(not mine, AWAY))
    fabric.cloud.replicate()
    assert settled(fabric, noted(fabric)) == ([], set() if mine else {BATCH})


def test_each_noted_batch_is_decided_by_itself() -> None:
    fabric = SubscribedStream()
    put_batch(fabric, "here", FIRST, LANE)
    context, key = fabric.deliverer()._context, fabric.key_of(OTHER)
    records = [
        put_batch(fabric, "here", FIRST, OTHER, Note(LANE, SequenceNumber(0))),
        put_batch(fabric, "not here", SECOND, OTHER, Note(LANE, SequenceNumber(1))),
    ]
    decided, elsewhere = settle_notes(context, key, records)
    assert elsewhere == records[:1]
    made = [(decision.key, decision.decision) for decision in decided]
    assert made == [
        (fabric.key_of(LANE), Decision(HOME, FIRST, noted_wins=False)),
        (fabric.key_of(LANE), Decision(HOME, SECOND, noted_wins=True)),
    ]
    assert fabric.ledger.state(key).cursor(HOME) == START


def test_of_a_noted_batch_no_more_is_handed_out_than_the_subscription_wants() -> None:
    fabric = SubscribedStream(types=["placed"])
    batch = replace(
        batch_of([event("paid", type="paid"), event("placed")], FIRST), note=Note(OTHER, SequenceNumber(0))
    )
    tail = fabric.origin_log.tail(LANE)
    record = record_at(tail, LANE, batch, now_ms=fabric.clock.now_ms(), retention_seconds=None)
    assert fabric.origin_log.append(record) is None
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert (fabric.recorder.ids(), fabric.cursor().sequence) == (["placed"], 2)
