"""A lane's place: noted only of an end that was read, by the record's own expiry, whatever the retention was or is."""

from dataclasses import replace
from typing import Any

import pytest

from eventfabric.errors import OutcomeUnknownError
from eventfabric.model import EMPTY_TAIL, Batch, Lane, SequenceNumber, StreamName, Tail
from eventfabric.model.finding import FindingKind
from eventfabric.ports import Log
from eventfabric.services.publishing.append import Appender
from eventfabric.services.publishing.lane_ends import KnownMarks
from eventfabric.services.reconciliation.reconcile import Reconciler
from eventfabric.wire import place_item
from tests.support import subscribed_stream
from tests.support.expiry import DAY_SECONDS, expire, reconciled
from tests.support.log_items import delete
from tests.support.memory_fabric import AWAY, LANE, STREAM, batch_of, event
from tests.support.subscribed_stream import SubscribedStream


class Away:
    """The log of a Region that gives no reply."""

    def read(self, lane: Lane, *args: object, **options: object) -> object:
        raise OutcomeUnknownError("read the log", "no reply")

    tail = read


def reconciled_without_reply(fabric: SubscribedStream) -> list[FindingKind]:
    silent: Log = Away()  # type: ignore[assignment]  # of which nothing else is asked
    there = replace(fabric.ports(AWAY), log_of=lambda stream: silent)
    ports = replace(fabric.ports(), at=lambda region: there)
    reconciler = Reconciler(fabric.stream, region=fabric.region, ports=ports, telemetry=fabric.telemetry)
    return [finding.kind for finding in reconciler.run(repair=True)]


def with_retention(fabric: SubscribedStream, days: int | None) -> None:
    """A deploy with another retention."""
    settings: dict[str, Any] = {} if days is None else {"retention_days": days}
    fabric.topology = subscribed_stream.topology(**settings)


def append(fabric: SubscribedStream, name: str, *, days: int | None) -> None:
    """Append an event like a publisher that knows nothing of the lane yet."""
    known = KnownMarks(fabric.ledger, StreamName(STREAM), clock=fabric.clock).of
    seconds = None if days is None else days * DAY_SECONDS
    appender = Appender(
        fabric.origin_log,
        stream=STREAM,
        clock=fabric.clock,
        entropy=fabric.entropy,
        retention_seconds=seconds,
        known=known,
    )
    batch: Batch = batch_of([event(name)], name.encode().ljust(16))
    appender.append(LANE, batch)


def pass_days(fabric: SubscribedStream, days: float) -> set[FindingKind]:
    """Quarters of a day, with a pass of reconciliation, replication and expiry in each; what was found."""
    kinds: set[FindingKind] = set()
    for _ in range(int(4 * days)):
        fabric.clock.advance(DAY_SECONDS / 4)
        kinds.update(reconciled(fabric))
        fabric.cloud.replicate()
        expire(fabric)
    return kinds


@pytest.mark.parametrize("retention_days", [7, None])
def test_records_that_are_lost_while_no_region_answers_are_copied_by_a_later_pass(
    retention_days: int | None,
) -> None:
    fabric = SubscribedStream() if retention_days is None else SubscribedStream(retention_days=retention_days)
    for name in ("a1", "a2", "a3"):
        fabric.put(event(name))
    whole = fabric.records()
    fabric.cloud.replicate()
    assert set(reconciled(fabric)) <= {FindingKind.UNRUNG}
    fabric.clock.advance(60)
    for record in whole:
        delete(fabric, record)
    assert FindingKind.HOLE in reconciled_without_reply(fabric)
    assert fabric.origin_log.place(LANE) is None
    fabric.clock.advance(900)
    assert FindingKind.HOLE in reconciled(fabric)
    assert fabric.records() == whole
    fabric.deliver()
    assert fabric.recorder.ids() == ["a1", "a2", "a3"]


@pytest.mark.parametrize(("before", "after"), [(7, 30), (30, 7), (None, 7)], ids=lambda days: f"{days} days")
def test_a_lane_that_is_quiet_goes_on_where_it_was_whatever_becomes_of_the_retention(
    before: int | None, after: int | None
) -> None:
    fabric = SubscribedStream() if before is None else SubscribedStream(retention_days=before)
    append(fabric, "a1", days=before)
    fabric.deliver()
    assert pass_days(fabric, 1) == set()
    with_retention(fabric, after)
    append(fabric, "a2", days=after)
    fabric.deliver()
    assert pass_days(fabric, 35) == set()
    append(fabric, "a3", days=after)
    fabric.deliver()
    assert fabric.recorder.ids() == ["a1", "a2", "a3"]
    assert fabric.cursor().sequence == 3


@pytest.mark.parametrize("after", [30, None])
def test_what_was_appended_before_the_retention_was_lengthened_holds_its_place(after: int | None) -> None:
    fabric = SubscribedStream(retention_days=7)
    append(fabric, "a1", days=7)
    fabric.deliver()
    with_retention(fabric, after)
    assert pass_days(fabric, 10) == set()
    assert fabric.records() == []
    append(fabric, "a2", days=after)
    fabric.deliver()
    assert fabric.recorder.ids() == ["a1", "a2"]


def test_no_record_expires_before_an_earlier_one_though_the_retention_was_shortened() -> None:
    fabric = SubscribedStream(retention_days=30)
    append(fabric, "a1", days=30)
    append(fabric, "a2", days=7)
    first, second = fabric.records()
    assert second.expires_at == first.expires_at


def test_a_place_says_when_the_record_before_it_may_go() -> None:
    tail = Tail(SequenceNumber(5), EMPTY_TAIL.chain, EMPTY_TAIL.time, 1_800_000_000)
    assert place_item.from_item(place_item.put(LANE, tail)["Item"]).expires_at == 1_800_000_000
    assert "x" not in place_item.put(LANE, tail)["Item"]
