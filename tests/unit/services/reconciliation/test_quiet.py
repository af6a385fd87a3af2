"""Cursors before what nobody wants: they are no lag and no finding, and are moved once they have stood for long."""

from dataclasses import replace
from typing import Any

import pytest

from eventfabric import limits
from eventfabric.model import START, Committed, Cursor, Owner, Standing, StreamName, SubscriptionName
from eventfabric.model.finding import FindingKind
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.services.lanes.standing import lanes_of
from eventfabric.services.lanes.tails import tails_of
from eventfabric.services.operations.survey import survey
from eventfabric.services.reconciliation.reconcile import Reconciler
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.faults import Faults
from tests.support import failing_handlers
from tests.support.expiry import DAY_SECONDS, expire
from tests.support.failing_handlers import Failing, retry
from tests.support.memory_fabric import AWAY, HOME, LANE, STREAM, event
from tests.support.reconciliations import kinds, reconcile
from tests.support.replays import at_sequence, replay_of
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream

LONG_SECONDS = limits.QUIET_SECONDS + 1


def fabric_of(**settings: Any) -> SubscribedStream:
    """A fabric that has handled one event of the only type that it wants, an hour ago."""
    fabric = SubscribedStream(types=["paid"], **settings)
    put(fabric, "paid")
    fabric.relay_all()
    fabric.deliver_all()
    assert kinds(fabric, repair=True) == []
    fabric.clock.advance(LONG_SECONDS)
    return fabric


def put(fabric: SubscribedStream, *types: str) -> None:
    for number, type_ in enumerate(types):
        fabric.put(event(f"{type_}{fabric.clock.now_ms()}{number}", type=type_))


def lag(fabric: SubscribedStream) -> int:
    tails = tails_of(fabric.log, lanes_of(fabric.stream), now_ms=fabric.clock.now_ms())
    (standing,) = survey(
        fabric.subscription, tails, log=fabric.log, ledger=fabric.ledger, standing=Standing()
    )
    return standing.lag


def test_a_cursor_that_has_stood_for_long_before_unwanted_records_is_moved_behind_them() -> None:
    fabric = fabric_of()
    put(fabric, "placed", "placed")
    assert kinds(fabric, repair=True) == []
    assert (fabric.cursor().sequence, len(fabric.queue)) == (3, 0)
    tail = fabric.log.tail(LANE)
    assert (fabric.cursor().base, fabric.cursor().chain) == (tail.sequence, tail.chain)
    put(fabric, "paid")
    fabric.relay_all()
    fabric.deliver_all()
    assert fabric.cursor().sequence == 4


def test_one_that_was_written_lately_is_left_unless_it_is_far_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    fabric = fabric_of()
    put(fabric, "placed")
    reconcile(fabric, repair=True)
    put(fabric, "placed", "placed", "placed")
    fabric.clock.advance(limits.UNRUNG_SECONDS)
    reconcile(fabric, repair=True)
    assert fabric.cursor().sequence == 2
    monkeypatch.setattr(limits, "RING_EVERY_EVENTS", 3)
    reconcile(fabric, repair=True)
    assert fabric.cursor().sequence == 5


def test_a_pass_that_only_looks_moves_nothing() -> None:
    fabric = fabric_of()
    put(fabric, "placed")
    assert kinds(fabric) == []
    assert fabric.cursor().sequence == 1


def test_a_cursor_is_never_moved_where_something_wanted_waits() -> None:
    fabric = fabric_of()
    put(fabric, "placed", "paid", "placed")
    assert FindingKind.UNRUNG not in kinds(fabric, repair=True)
    assert fabric.cursor().sequence == 1
    assert lag(fabric) == 2
    fabric.clock.advance(limits.UNRUNG_SECONDS + 1)
    assert kinds(fabric, repair=True) == [FindingKind.UNRUNG]
    fabric.deliver_all()
    assert fabric.cursor().sequence == 4


def test_the_age_of_the_oldest_undelivered_event_is_that_of_the_first_wanted() -> None:
    fabric = fabric_of()
    put(fabric, "placed")
    fabric.clock.advance(600)
    assert kinds(fabric) == []
    assert fabric.telemetry.gauges[Metric.OLDEST_UNDELIVERED, SUBSCRIPTION] == 0
    assert lag(fabric) == 0
    put(fabric, "paid")
    fabric.clock.advance(60)
    assert kinds(fabric) == []
    assert fabric.telemetry.gauges[Metric.OLDEST_UNDELIVERED, SUBSCRIPTION] == 60
    assert lag(fabric) == 1


def test_it_is_not_moved_from_under_a_run_for_what_was_appended_since_the_look() -> None:
    fabric = fabric_of()
    put(fabric, "placed")
    appended = False

    def append_meanwhile(name: str, overall: int, of_name: int) -> None:
        nonlocal appended
        if name == "ledger.state" and not appended:
            appended = True
            put(fabric, "paid")

    faults = Faults(append_meanwhile)
    ports = replace(fabric.ports(), ledger=faults.ports(fabric.ports()).ledger)
    reconciler = Reconciler(fabric.stream, region=fabric.region, ports=ports, telemetry=fabric.telemetry)
    assert list(reconciler.run(repair=True)) == []
    assert appended
    assert fabric.cursor().sequence == 1


@pytest.mark.parametrize("noted", [{"running": True}, {"attempting": True}, {"crashes": 1}], ids=str)
def test_it_is_not_moved_while_a_run_is_noted(noted: dict[str, Any]) -> None:
    fabric = fabric_of()
    put(fabric, "placed")
    cursor = fabric.cursor()
    outcome = fabric.ledger.commit(fabric.key_of(LANE), cursor, replace(cursor, **noted))
    assert isinstance(outcome, Committed)
    fabric.clock.advance(LONG_SECONDS)
    reconcile(fabric, repair=True)
    assert fabric.cursor().sequence == 1


@pytest.mark.parametrize(("attempts", "moved_to"), [(1, 3), (20, 1)])
def test_beside_a_dead_letter_it_is_moved_and_beside_a_key_that_retries_it_is_not(
    attempts: int, moved_to: int
) -> None:
    settings = retry(immediate=0, attempts=attempts, backoff_seconds=900, backoff_max_seconds=900)
    fabric = failing_handlers.fabric_of(Failing({"bad": 99}), types=["paid"], **settings)
    fabric.put(event("bad", type="paid"))
    fabric.relay_all()
    fabric.answer(fabric.receive())
    reconcile(fabric, repair=True)
    fabric.clock.advance(LONG_SECONDS)
    put(fabric, "placed", "placed")
    reconcile(fabric, repair=True)
    assert fabric.cursor().sequence == moved_to
    assert len(fabric.parked()) == 1


def test_what_expires_unwanted_halts_no_lane() -> None:
    fabric, expired = fabric_of(retention_days=1, on_expired="halt"), 0
    for _ in range(5):
        put(fabric, "placed")
        fabric.clock.advance(DAY_SECONDS / 2)
        assert kinds(fabric, repair=True) == []
        expired += expire(fabric)
    assert expired >= 3
    put(fabric, "paid")
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert len(fabric.recorder.ids()) == 2


def test_a_replay_of_nothing_wanted_is_no_lag_and_is_over_once_the_cursor_is_moved() -> None:
    fabric = fabric_of()
    put(fabric, "placed", "placed")
    reconcile(fabric, repair=True)
    replay = replay_of(fabric)
    for plan in replay.plan(at_sequence(1)):
        replay.carry_out(plan)
    assert fabric.cursor().is_replaying
    fabric.clock.advance(limits.UNRUNG_SECONDS + 1)  # its ring was lost
    assert kinds(fabric, repair=True) == []
    assert lag(fabric) == 0
    fabric.clock.advance(LONG_SECONDS)
    assert kinds(fabric, repair=True) == []
    assert (fabric.cursor().sequence, fabric.cursor().replay_until) == (3, 0)


@pytest.mark.parametrize(("epoch", "moved_to"), [(0, 2), (1, 1)])
def test_in_a_lane_that_came_back_it_is_not_moved_before_the_lane_is_taken_over(
    epoch: int, moved_to: int
) -> None:
    """The other Region may have delivered it meanwhile, and its cursor may still come."""
    fabric = fabric_of()
    put(fabric, "placed")
    name = SubscriptionName(SUBSCRIPTION)
    before = fabric.ledger.standing(StreamName(STREAM), name).written(HOME, HOME)
    if epoch:
        owner = Owner(HOME, HOME, epoch, HOME, since_ms=fabric.clock.now_ms())
        assert fabric.ledger.hand_over(StreamName(STREAM), name, before, owner)
    reconcile(fabric, repair=True)
    assert fabric.cursor().sequence == moved_to


EARLIER, LATER = "2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("start", "began"), [("earliest", 0), (EARLIER, 2), ("latest", 2), (LATER, None)], ids=str
)
def test_a_lane_that_never_began_gets_its_cursor_once_it_is_known_where_it_begins(
    start: str, began: int | None
) -> None:
    """Else each pass would read all that stands there again, and no other subscription's lane came to rest."""
    fabric = SubscribedStream(types=["paid"], start=start)
    put(fabric, "placed", "placed")
    assert kinds(fabric, repair=True) == []
    assert lag(fabric) == 0
    if start == "latest":
        assert not fabric.cursor().version, "nothing has pinned a time yet"
        fabric.ledger.pin(StreamName(STREAM), SubscriptionName(SUBSCRIPTION), fabric.log.tail(LANE).time)
        assert kinds(fabric, repair=True) == []
    cursor = fabric.cursor()
    assert (cursor.version > 0) == (began is not None)
    if began is not None:
        assert (cursor.sequence, cursor.chain, cursor.began) == (2, fabric.log.tail(LANE).chain, began)
    put(fabric, "paid")
    fabric.relay_all()
    fabric.deliver_all()
    assert len(fabric.recorder.ids()) == (began is not None)


@pytest.mark.parametrize(("deliver", "moved_to"), [("origin", 0), ("everywhere", 1)])
def test_a_lane_that_may_have_to_be_taken_over_gets_none(deliver: str, moved_to: int) -> None:
    fabric = SubscribedStream(types=["paid"], deliver=deliver)
    put(fabric, "placed")
    reconcile(fabric)
    theirs = fabric.ledger.acting_for(AWAY)
    tail = fabric.log.tail(LANE)
    there = Cursor(tail.sequence, tail.sequence, tail.chain)
    assert isinstance(theirs.commit(fabric.key_of(LANE), START, there), Committed)
    reconcile(fabric, repair=True)
    assert fabric.cursor().sequence == moved_to


def test_a_changed_record_is_not_taken_for_an_unwanted_one() -> None:
    fabric = fabric_of()
    put(fabric, "paid", "placed")
    reconcile(fabric)
    item = fabric.table.items[1]
    fabric.table.write("Put", {"TableName": fabric.table.name, "Item": {**item, "t": {"SS": ["placed"]}}})
    assert lag(fabric) == 2
    reconcile(fabric, repair=True)
    assert fabric.cursor().sequence == 1
