"""Leftovers of a Region that is taken out: events, parked keys and dead letters, and lanes that it delivers."""

from dataclasses import replace
from typing import Any

import pytest

from eventfabric.errors import LastingError
from eventfabric.model import HybridTime, Region, SchemaLane, SequenceNumber, StreamName, next_time, record_at
from eventfabric.ports import Ports
from eventfabric.services.catalogue.facts import subscription_facts
from eventfabric.services.catalogue.leftovers import LeftoversReader
from eventfabric.services.delivery.side_by_side import one_after_another
from eventfabric.testing.memory.faults import Fault, Faults
from eventfabric.testing.memory.requests import Requests
from eventfabric.testing.memory.table_client import TableClient
from eventfabric.wire.keys import cursor_key, record_key
from tests.support.dead_letters import mended_fabric
from tests.support.failing_handlers import Failing, fabric_of
from tests.support.handovers import hand_over, without_parked
from tests.support.memory_fabric import AWAY, FAR, HOME, STREAM, batch_of, event, lane
from tests.support.messages import missing_from
from tests.support.schema_registry import FIRST, SECOND, registration
from tests.support.subscribed_stream import LANE_KEY, SubscribedStream


def left(
    fabric: SubscribedStream, leaving: Region = HOME, *, seen_from: Region = AWAY, **facts: Any
) -> list[str]:
    """Return the sentences, once everything was replicated. `facts`: what is declared otherwise."""
    fabric.cloud.replicate()
    return left_now(fabric, fabric.ports(seen_from), leaving, **facts)


def left_now(
    fabric: SubscribedStream,
    ports: Ports,
    leaving: Region = HOME,
    *,
    lost: tuple[str, ...] = (),
    **facts: Any,
) -> list[str]:
    own = replace(subscription_facts(fabric.topology, fabric.subscription), **facts)
    reader = LeftoversReader(ports, one_after_another, lost)
    return [str(problem) for problem in reader(fabric.stream, [own], leaving)]


def failing_elsewhere(fabric: SubscribedStream, fault: Fault) -> Ports:
    """Return the ports of AWAY, from which every call to another Region fails."""
    ports, faults = fabric.ports(AWAY), Faults(lambda *_: fault)
    return replace(ports, at=lambda region: faults.ports(fabric.ports(region)))


def delivered(*names: str, **settings: Any) -> SubscribedStream:
    fabric = SubscribedStream(**settings)
    for name in names:
        fabric.put(event(name))
    fabric.relay_all()
    fabric.deliver_all()
    return fabric


def test_nothing_is_left_of_what_is_delivered_or_was_never_there() -> None:
    assert left(SubscribedStream()) == []
    assert left(delivered("a", "b")) == []


@pytest.mark.parametrize("lost", [(), (HOME,)])
def test_schemas_that_have_not_come_are_left(lost: tuple[str, ...]) -> None:
    fabric = delivered()
    registration(fabric).register({"placed": FIRST})
    assert left(fabric) == []
    fabric.cloud.cut(AWAY)
    registration(fabric).register({"placed": SECOND})
    said = left_now(fabric, fabric.ports(AWAY), lost=lost)
    assert [missing_from(own, "us-east-1 taken out", "@us-east-1/orders/schemas") for own in said] == [
        [] for _ in range(not lost)
    ]


@pytest.mark.parametrize(
    ("lacks", "lost", "is_left"),
    [((AWAY,), (), True), ((AWAY, HOME), (), False), ((AWAY,), (HOME,), False), ((HOME,), (), False)],
)
def test_a_record_of_schemas_before_the_last_is_left_where_it_is_in_the_region_that_goes_alone(
    lacks: tuple[Region, ...], lost: tuple[str, ...], is_left: bool
) -> None:
    fabric = delivered()
    registration(fabric).register({"placed": FIRST})
    registration(fabric).register({"placed": SECOND})
    fabric.cloud.replicate()
    lane = SchemaLane.of(HOME, StreamName(STREAM))
    for region in lacks:
        log = TableClient(fabric.cloud.log_table(STREAM, region), Requests())
        log.write("Delete", {"Key": record_key(lane, SequenceNumber(0))})
    said = left_now(fabric, fabric.ports(AWAY), lost=lost)
    words = ("us-east-1 taken out", "@us-east-1/orders/schemas", "a record at 0")
    assert [missing_from(own, *words) for own in said] == [[]] * is_left


def test_schemas_of_a_region_before_that_only_this_one_has_are_left() -> None:
    fabric = delivered()
    log = fabric.cloud.log(STREAM, HOME)
    lane_of_far = SchemaLane.of(FAR, StreamName(STREAM))
    tail = log.tail(lane_of_far)
    record = record_at(tail, lane_of_far, batch_of([event("e")], bytes(16)), now_ms=1, retention_seconds=None)
    fabric.cloud.cut(AWAY)
    assert log.append(record) is None
    own = subscription_facts(fabric.topology, fabric.subscription)
    reader = LeftoversReader(fabric.ports(AWAY), one_after_another)
    [said] = reader(replace(fabric.stream, former=(FAR,)), [own], HOME)
    assert str(lane_of_far) in str(said)
    assert list(reader(fabric.stream, [own], HOME)) == []


def test_events_that_wait_are_left() -> None:
    fabric = delivered("a")
    fabric.put(event("b"), event("c"))
    fabric.put(event("d"), of=lane(1))
    [said] = left(fabric)
    words = (
        "streams.orders.regions",
        "us-east-1 taken out",
        "billing has 3 events that wait",
        "retire billing",
    )
    assert missing_from(said, *words) == []
    assert left(fabric, AWAY) == []


def test_a_parked_key_is_left() -> None:
    fabric = fabric_of(Failing({"a": 99}), event("a"))
    fabric.relay_all()
    fabric.answer(fabric.receive())
    assert "billing has 1 parked keys left of it" in left(fabric)[0]


def test_what_another_incarnation_has_delivered_is_left_of_this_one() -> None:
    assert "2 events that wait" in left(delivered("a", "b"), incarnation=1)[0]


def test_events_that_nobody_wants_are_not_left() -> None:
    fabric = SubscribedStream(types=["shipped"])
    fabric.put(event("a"))
    assert left(fabric) == []


def test_three_dead_letters_are_left() -> None:
    [said] = left(mended_fabric("a", "b", "c"))
    assert "billing has 3 dead letters left of it" in said
    assert "events" not in said


def test_where_every_region_delivers_each_is_to_have_delivered_what_the_region_published() -> None:
    fabric = delivered("a", deliver="everywhere")
    [said] = left(fabric)
    assert "1 events that wait" in said
    assert "1 events that wait" in left(fabric, AWAY)[0]
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY)
    away.deliver()
    assert left(fabric) == []
    assert left(fabric, AWAY) == []


def test_lanes_that_were_handed_to_the_region_are_handed_on_first() -> None:
    fabric = delivered("a").in_region(AWAY)
    fabric.cloud.replicate()
    hand_over(fabric, to=AWAY)
    [said] = left(fabric, AWAY, seen_from=HOME)
    assert missing_from(said, "it delivers lanes of us-east-1 to subscription billing", "failover") == []
    fabric.put(event("b"))
    assert "billing has 1 events that wait" in left(fabric, AWAY, seen_from=HOME)[1]


@pytest.mark.parametrize(
    ("start", "before", "after"),
    [("latest", 0, 1), ("2100-01-01T00:00:00Z", 0, 0), ("2020-01-01T00:00:00Z", 1, 2)],
)
def test_what_was_published_before_the_beginning_is_not_left(start: str, before: int, after: int) -> None:
    fabric = SubscribedStream(start=start)
    fabric.put(event("a"))
    fabric.clock.advance(seconds=1)
    since_ms = fabric.clock.now_ms()
    assert waiting(left(fabric, since_ms=since_ms)) == before
    fabric.put(event("b"))
    assert waiting(left(fabric, since_ms=since_ms)) == after


def test_a_beginning_that_a_region_has_noted_before_the_declaration_counts() -> None:
    fabric = SubscribedStream(start="latest")
    noted = next_time(HybridTime(0), fabric.clock.now_ms())
    fabric.ports(HOME).ledger.pin(LANE_KEY.stream, LANE_KEY.subscription, noted)
    fabric.clock.advance(seconds=1)
    fabric.put(event("a"))
    fabric.clock.advance(seconds=1)
    assert waiting(left(fabric, since_ms=fabric.clock.now_ms())) == 1


def waiting(said: list[str]) -> int:
    return sum(int(text.split(" has ")[1].split(" ")[0]) for text in said)


def test_a_lane_that_cannot_be_read_is_said() -> None:
    fabric = delivered("a")
    table = TableClient(fabric.cloud.regions[HOME].table(fabric.topology.ledger.name), Requests())
    table.put({**cursor_key(fabric.key_of(lane()), HOME), "n": {"S": "x"}})
    [said] = left(fabric, seen_from=HOME)
    assert missing_from(said, "billing has", "us-east-1/0.0") == []


def test_what_has_not_been_replicated_yet_is_left() -> None:
    fabric = delivered("a")
    fabric.cloud.replicate()
    fabric.put(event("b"))
    [said] = left_now(fabric, fabric.ports(AWAY))
    assert "billing has 1 events that wait" in said


def test_a_parked_key_that_comes_after_its_cursor_is_left() -> None:
    fabric = mended_fabric("a", "b", "c")
    fabric.cloud.replicate()
    without_parked(fabric)
    [said] = left_now(fabric, fabric.ports(AWAY))
    assert "billing has 3 dead letters left of it" in said


@pytest.mark.parametrize("fault", [Fault.LOST_REQUEST, Fault.THROTTLED])
def test_a_region_that_gives_no_answer_may_have_something_left(fault: Fault) -> None:
    fabric = delivered("a")
    fabric.cloud.replicate()
    [said] = left_now(fabric, failing_elsewhere(fabric, fault))
    words = (
        "streams.orders.regions",
        "not known if something is left of it",
        "us-east-1 and",
        "`[fabric] lost`",
    )
    assert missing_from(said, *words) == []


def test_a_right_that_may_be_new_is_waited_for_by_whoever_asks() -> None:
    with pytest.raises(LastingError, match="simulated"):
        left_now(delivered("a"), failing_elsewhere(delivered("a"), Fault.DENIED))


def test_a_region_that_is_gone_for_good_is_not_asked() -> None:
    fabric = delivered("a")
    fabric.put(event("b"))
    fabric.cloud.replicate()
    fabric.put(event("c"))
    [said] = left_now(fabric, failing_elsewhere(fabric, Fault.LOST_REQUEST), lost=(HOME,))
    assert "billing has 1 events that wait" in said


def test_a_handover_that_has_not_been_replicated_is_waited_for() -> None:
    fabric = delivered("a").in_region(AWAY)
    fabric.cloud.replicate()
    hand_over(fabric, to=AWAY)
    [said] = left_now(fabric, fabric.ports(HOME), AWAY)
    words = (
        "known otherwise than here who delivers lanes of us-east-1",
        "billing",
        "a handover that has come to both",
    )
    assert missing_from(said, *words) == []
