"""Two copies of a batch: it is decided once which is delivered, and delivered as decided."""

from dataclasses import replace
from typing import Any

import pytest

from eventfabric import limits
from eventfabric.model import (
    START,
    BatchId,
    Committed,
    Decided,
    Decision,
    Note,
    RaceLost,
    Record,
    Region,
    SequenceNumber,
    record_at,
)
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.services.delivery.visited_lane import settle_notes
from tests.support.memory_fabric import AWAY, HOME, LANE, batch_of, event, lane
from tests.support.subscribed_stream import SubscribedStream

BATCH = BatchId(b"b" * 16)
NOTED_LANE = lane(0, AWAY)
OTHER_LANE = lane(1, AWAY)


def noted(fabric: SubscribedStream, number: int = 0) -> Record:
    """A batch in AWAY that may also stand in HOME's lane."""
    batch = replace(batch_of([event("a")], BATCH), note=Note(LANE, SequenceNumber(number)))
    tail = fabric.cloud.log("orders", AWAY).tail(NOTED_LANE)
    return record_at(tail, NOTED_LANE, batch, now_ms=fabric.clock.now_ms(), retention_seconds=None)


def first_copy(fabric: SubscribedStream) -> None:
    """Append the batch in HOME's lane as well."""
    record = record_at(
        fabric.origin_log.tail(LANE),
        LANE,
        batch_of([event("a")], BATCH),
        now_ms=fabric.clock.now_ms(),
        retention_seconds=None,
    )
    assert fabric.origin_log.append(record) is None


def settled(fabric: SubscribedStream, *records: Record) -> tuple[list[Decided], set[BatchId]]:
    """Settle notes like a visit to the noted lane, which then writes the decisions."""
    context = fabric.deliverer()._context
    decided, stepped_over = settle_notes(context, fabric.key_of(NOTED_LANE), records)
    elsewhere = {record.batch_id for record in stepped_over}
    if decided:
        state = fabric.ledger.state(fabric.key_of(NOTED_LANE)).cursor(fabric.region)
        done = fabric.ledger.commit(fabric.key_of(NOTED_LANE), state, state, decided=decided)
        assert isinstance(done, Committed)
    return decided, elsewhere


def decision(wins: bool, region: Region = HOME) -> Decision:
    return Decision(region, BATCH, noted_wins=wins)


def test_where_the_first_copy_is_here_the_noted_one_is_stepped_over() -> None:
    fabric = SubscribedStream()
    first_copy(fabric)
    ((decided,), elsewhere) = settled(fabric, noted(fabric))
    assert (decided.key, decided.decision) == (fabric.key_of(LANE), decision(False))
    assert elsewhere == {BATCH}


@pytest.mark.parametrize("there", ["nothing", "another batch", "this batch elsewhere", "this batch behind"])
def test_where_it_is_not_the_noted_one_is_delivered(there: str) -> None:
    fabric, number = SubscribedStream(), 0
    if there == "another batch":
        fabric.put(event("other"))
    elif there == "this batch elsewhere":
        fabric.put(event("other"))
        first_copy(fabric)
    elif there == "this batch behind":
        fabric.put(event("other"), event("other too"))
        first_copy(fabric)
        number = 1
    ((decided,), elsewhere) = settled(fabric, noted(fabric, number))
    assert decided.decision == decision(True)
    assert elsewhere == set()


@pytest.mark.parametrize("comes", [True, False])
def test_what_was_decided_stays_so_whatever_comes(comes: bool) -> None:
    fabric = SubscribedStream()
    if not comes:
        first_copy(fabric)
    record = noted(fabric)
    (_, before) = settled(fabric, record)
    if comes:
        first_copy(fabric)
    assert settled(fabric, record) == ([], before)
    assert before == (set() if comes else {BATCH})


@pytest.mark.parametrize("retention_days", [0, 3])
def test_a_decision_is_kept_for_as_long_as_the_first_copy_may_still_come(retention_days: int) -> None:
    fabric = SubscribedStream(retention_days=retention_days)
    ((decided,), _) = settled(fabric, noted(fabric))
    kept_seconds = retention_days * 86_400 + limits.DECISION_KEPT_SECONDS
    assert decided.expires_seconds == fabric.clock.now_ms() // 1000 + kept_seconds


@pytest.mark.parametrize("deliver", ["one", "everywhere"])
def test_each_region_decides_for_itself_only_where_each_delivers_all(deliver: str) -> None:
    settings: dict[str, Any] = {"region": HOME} if deliver == "one" else {}
    fabric = SubscribedStream(deliver=deliver, **settings)
    first_copy(fabric)
    theirs = Decided(fabric.key_of(LANE), decision(True, AWAY), fabric.clock.now_ms() // 1000 + 60)
    ledger = fabric.cloud.ledger(AWAY)
    assert isinstance(ledger.commit(fabric.key_of(NOTED_LANE), START, START, decided=[theirs]), Committed)
    fabric.cloud.replicate()
    decided, elsewhere = settled(fabric, noted(fabric))
    if deliver == "one":
        assert (decided, elsewhere) == ([], set())
    else:
        assert [decision.decision for decision in decided] == [decision(False)]
        assert elsewhere == {BATCH}
        assert settled(fabric, noted(fabric)) == ([], {BATCH})


def test_of_two_visits_only_one_decides() -> None:
    fabric = SubscribedStream()
    record = noted(fabric)
    context = fabric.deliverer()._context
    (late, _) = settle_notes(context, fabric.key_of(NOTED_LANE), [record])
    first_copy(fabric)
    settled(fabric, record)
    lost = fabric.ledger.commit(fabric.key_of(OTHER_LANE), START, START, decided=late)
    assert isinstance(lost, RaceLost)


def test_whether_the_first_copy_is_here_is_asked_of_its_place_and_not_of_what_stands_behind() -> None:
    fabric = SubscribedStream()
    assert fabric.cloud.log("orders", AWAY).append(noted(fabric)) is None
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY)
    spoilt = {"pk": {"S": str(LANE)}, "sk": {"N": "4000000"}, "junk": {"S": "?"}}
    fabric.cloud.log_table(fabric.stream.name, AWAY).write("Put", {"Item": spoilt})
    assert away.deliver(NOTED_LANE).outcome is LaneOutcome.DELIVERED
    assert away.recorder.ids() == ["a"]
