"""A lane's place: noted only of an end that was read, by the record's own expiry, whatever the retention was or is."""

from dataclasses import replace
from typing import Any

import pytest

from eventfabric.errors import OutcomeUnknownError
from eventfabric.model.finding import FindingKind
from eventfabric.model.identity import Lane, SequenceNumber, StreamName
from eventfabric.model.record import EMPTY_TAIL, Batch, Tail
from eventfabric.ports import Log
from eventfabric.services.lanes.lane_end import KnownMarks
from eventfabric.services.publishing.append import Appender
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


def reconciled_without_reply(world: SubscribedStream) -> list[FindingKind]:
    silent: Log = Away()  # type: ignore[assignment]  # of which nothing else is asked
    there = replace(world.ports(AWAY), log_of=lambda stream: silent)
    ports = replace(world.ports(), at=lambda region: there)
    reconciler = Reconciler(world.stream, region=world.region, ports=ports, telemetry=world.telemetry)
    return [finding.kind for finding in reconciler.run(repair=True)]


def with_retention(world: SubscribedStream, days: int | None) -> None:
    """A deploy with another retention."""
    settings: dict[str, Any] = {} if days is None else {"retention_days": days}
    world.topology = subscribed_stream.topology(**settings)


def append(world: SubscribedStream, name: str, *, days: int | None) -> None:
    """Append an event like a publisher that knows nothing of the lane yet."""
    known = KnownMarks(world.ledger, StreamName(STREAM), clock=world.clock).of
    seconds = None if days is None else days * DAY_SECONDS
    appender = Appender(
        world.origin_log,
        stream=STREAM,
        clock=world.clock,
        entropy=world.entropy,
        retention_seconds=seconds,
        known=known,
    )
    batch: Batch = batch_of([event(name)], name.encode().ljust(16))
    appender.append(LANE, batch)


def pass_days(world: SubscribedStream, days: float) -> set[FindingKind]:
    """Quarters of a day, with a pass of reconciliation, replication and expiry in each; what was found."""
    kinds: set[FindingKind] = set()
    for _ in range(int(4 * days)):
        world.clock.advance(DAY_SECONDS / 4)
        kinds.update(reconciled(world))
        world.cloud.replicate()
        expire(world)
    return kinds


@pytest.mark.parametrize("retention_days", [7, None])
def test_records_that_are_lost_while_no_region_answers_are_copied_by_a_later_pass(
    retention_days: int | None,
) -> None:
    world = SubscribedStream() if retention_days is None else SubscribedStream(retention_days=retention_days)
    for name in ("a1", "a2", "a3"):
        world.put(event(name))
    whole = world.records()
    world.cloud.replicate()
    assert set(reconciled(world)) <= {FindingKind.UNRUNG}
    world.clock.advance(60)
    for record in whole:
        delete(world, record)
    assert FindingKind.HOLE in reconciled_without_reply(world)
    assert world.origin_log.place(LANE) is None
    world.clock.advance(900)
    assert FindingKind.HOLE in reconciled(world)
    assert world.records() == whole
    world.deliver()
    assert world.recorder.ids() == ["a1", "a2", "a3"]


@pytest.mark.parametrize(("before", "after"), [(7, 30), (30, 7), (None, 7)], ids=lambda days: f"{days} days")
def test_a_lane_that_is_quiet_goes_on_where_it_was_whatever_becomes_of_the_retention(
    before: int | None, after: int | None
) -> None:
    world = SubscribedStream() if before is None else SubscribedStream(retention_days=before)
    append(world, "a1", days=before)
    world.deliver()
    assert pass_days(world, 1) == set()
    with_retention(world, after)
    append(world, "a2", days=after)
    world.deliver()
    assert pass_days(world, 35) == set()
    append(world, "a3", days=after)
    world.deliver()
    assert world.recorder.ids() == ["a1", "a2", "a3"]
    assert world.cursor().sequence == 3


@pytest.mark.parametrize("after", [30, None])
def test_what_was_appended_before_the_retention_was_lengthened_holds_its_place(after: int | None) -> None:
    world = SubscribedStream(retention_days=7)
    append(world, "a1", days=7)
    world.deliver()
    with_retention(world, after)
    assert pass_days(world, 10) == set()
    assert world.records() == []
    append(world, "a2", days=after)
    world.deliver()
    assert world.recorder.ids() == ["a1", "a2"]


def test_no_record_expires_before_an_earlier_one_though_the_retention_was_shortened() -> None:
    world = SubscribedStream(retention_days=30)
    append(world, "a1", days=30)
    append(world, "a2", days=7)
    first, second = world.records()
    assert second.expires_at == first.expires_at


def test_a_place_says_when_the_record_before_it_may_go() -> None:
    tail = Tail(SequenceNumber(5), EMPTY_TAIL.chain, EMPTY_TAIL.time, 1_800_000_000)
    assert place_item.from_item(place_item.put(LANE, tail)["Item"]).expires_at == 1_800_000_000
    assert "x" not in place_item.put(LANE, tail)["Item"]
