"""Cursors that cannot be true: they are refused or found, and cost no event, nor its order."""

from collections.abc import Callable

import pytest

from eventfabric import limits
from eventfabric.errors import UndecodableItemError
from eventfabric.model.finding import Finding, FindingKind
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.services.reconciliation.reconcile import Reconciler
from eventfabric.wire.cursor_item import from_item
from eventfabric.wire.keys import Item, cursor_key, is_parked, ledger_region_and_kind
from tests.support.failing_handlers import Failing, named, retry, world_of
from tests.support.handovers import hand_over
from tests.support.memory_fabric import AWAY, HOME, LANE, event
from tests.support.messages import TextWith
from tests.support.subscribed_stream import SubscribedStream

Change = Callable[[Item], Item]


def rewrite(world: SubscribedStream, change: Change) -> None:
    """Change the stored cursor of the Region that is looked at."""
    table = world.cloud.regions[world.region].table(world.topology.ledger.name)
    item = table.get(cursor_key(world.key_of(LANE), world.region), consistent=True)
    assert item is not None
    table.write("Put", {"Item": change(item)})


def without(*names: str) -> Change:
    return lambda item: {name: value for name, value in item.items() if name not in names}


def found(world: SubscribedStream, *, repair: bool = True) -> list[Finding]:
    reconciler = Reconciler(
        world.stream, region=world.region, ports=world.ports(world.region), telemetry=world.telemetry
    )
    return list(reconciler.run(repair=repair))


def with_a_dead_key() -> SubscribedStream:
    world = world_of(Failing({"a1": 99}), *named("a1", "b1"), **retry(immediate=0, attempts=1))
    world.deliver()
    assert world.recorder.ids() == ["b1"]
    return world


def take_parked(world: SubscribedStream) -> list[Item]:
    """Remove the parked keys from the ledger; returns their items."""
    table = world.cloud.regions[world.region].table(world.topology.ledger.name)
    items = [item for item in table.items if is_parked(ledger_region_and_kind(item)[1])]
    for item in items:
        table.write("Delete", {"Key": {"pk": item["pk"], "sk": item["sk"]}})
    return items


@pytest.mark.parametrize("missing", ["p", "l"])
def test_a_cursor_with_a_digest_of_its_parked_keys_and_no_first_event_or_the_other_way_is_refused(
    missing: str,
) -> None:
    world = with_a_dead_key()
    rewrite(world, without(missing))
    world.put(event("a2", key="a"))
    assert world.deliver().outcome is LaneOutcome.STOPPED
    assert world.recorder.ids() == ["b1"]
    assert [finding.kind for finding in found(world)] == [FindingKind.UNREADABLE]


@pytest.mark.parametrize(
    "spoiled",
    [
        {"s": {"N": "1"}, "a": {"N": "9"}},
        {"s": {"N": "1003"}},
        {"l": {"L": [{"N": "2"}, {"N": "1"}]}},
        {"l": {"L": [{"N": "0"}, {"N": "1001"}]}},
        {"n": {"N": str(limits.CRASHES_MAX + 1)}},
        {"d": {"B": b"bbbaaa"}},
        {"t": {"B": b"\x81\xc4\x00\x01"}},
        {"t": {"B": b"\x81\xc4\x10" + bytes(16) + b"\xcf\x00\x1f\xff\xff\xff\xff\xff\xff"}},
        {"p": {"B": b""}},
    ],
    ids=str,
)
def test_fields_that_cannot_be_true_together_are_refused(spoiled: Item) -> None:
    world = with_a_dead_key()
    rewrite(world, lambda item: item | spoiled)
    item = (
        world.cloud.regions[HOME]
        .table(world.topology.ledger.name)
        .get(cursor_key(world.key_of(LANE), HOME), consistent=True)
    )
    assert item is not None
    with pytest.raises(UndecodableItemError, match=f"field {next(iter(spoiled))}"):
        from_item(item)


def test_a_cursor_that_names_none_of_its_parked_keys_stops_the_lane_until_a_pass_names_them() -> None:
    world = with_a_dead_key()
    rewrite(world, without("d"))
    world.put(*named("a2", "b2"))
    stopped = world.deliver()
    assert stopped.outcome is LaneOutcome.STOPPED
    assert "field l" in str(stopped.cause)
    (finding,) = [
        finding for finding in found(world, repair=False) if finding.kind is FindingKind.PARKED_DIFFERS
    ]
    assert (finding.is_alarm, finding.sequence) == (True, 0)
    (finding,) = [finding for finding in found(world) if finding.kind is FindingKind.PARKED_DIFFERS]
    assert finding.is_repaired
    world.deliver_all()
    assert world.recorder.ids() == ["b1", "b2"]
    assert [place.sequence for place in world.parked()["a"].waiting] == [0, 2]
    assert FindingKind.PARKED_DIFFERS not in [finding.kind for finding in found(world)]


def test_an_order_that_a_roster_forgot_is_kept_through_a_failover() -> None:
    world = with_a_dead_key()
    rewrite(world, without("d", "t"))
    world.put(event("a2", key="a"))
    world.deliver()
    found(world)
    world.deliver_all()
    world.cloud.replicate()
    away = world.at(AWAY)
    hand_over(away)
    away.deliver()
    assert away.recorder.ids() == []
    assert [place.sequence for place in away.parked()["a"].waiting] == [0, 2]


def test_a_roster_that_lacks_one_key_of_several_is_found_and_completed() -> None:
    world = world_of(
        Failing({"a1": 99, "c1": 99}), *named("a1", "b1", "c1"), **retry(immediate=0, attempts=1)
    )
    world.deliver()
    rewrite(world, lambda item: item | {"d": {"B": item["d"]["B"][:3]}})
    world.put(*named("a2", "c2"))
    assert FindingKind.PARKED_DIFFERS in [finding.kind for finding in found(world) if finding.is_repaired]
    world.deliver_all()
    assert world.recorder.ids() == ["b1"]
    assert {key: len(parked.waiting) for key, parked in world.parked().items()} == {"a": 2, "c": 2}


def test_a_key_that_the_roster_names_and_that_is_gone_is_found_and_never_forgotten_by_a_repair() -> None:
    world = with_a_dead_key()
    take_parked(world)
    for _ in range(2):
        (finding,) = [finding for finding in found(world) if finding.kind is FindingKind.PARKED_DIFFERS]
        assert (finding.is_alarm, finding.sequence) == (True, 0)
        assert finding.detail == TextWith("1 keys are named", "1 of them are not there", "0 are parked")


def test_a_key_that_is_parked_and_that_a_cursor_says_nothing_of_is_named_by_a_repair() -> None:
    world = with_a_dead_key()
    rewrite(world, without("l", "p", "d"))
    (finding,) = [finding for finding in found(world) if finding.kind is FindingKind.PARKED_DIFFERS]
    assert finding.is_repaired
    world.put(*named("a2"))
    world.deliver_all()
    assert [place.sequence for place in world.parked()["a"].waiting] == [0, 2]


def test_a_first_waiting_event_that_is_another_is_found() -> None:
    world = with_a_dead_key()
    rewrite(world, lambda item: item | {"l": {"L": [{"N": "1"}, {"N": "1"}]}})
    assert FindingKind.PARKED_DIFFERS in [finding.kind for finding in found(world)]
    assert FindingKind.PARKED_DIFFERS not in [finding.kind for finding in found(world)]


def test_a_lane_whose_cursor_is_ahead_of_every_handover_is_found_and_mended_by_another() -> None:
    world = world_of(Failing({}), *named("a1"))
    world.cloud.replicate()
    away = world.at(AWAY)
    hand_over(away)
    away.deliver()
    rewrite(away, lambda item: item | {"e": {"N": "9"}})
    world.put(event("a2"))
    world.cloud.replicate()
    assert away.deliver().outcome is LaneOutcome.NOT_OWNER
    assert found(away) == []  # its handover may be on its way
    away.clock.advance(2 * limits.UNRUNG_SECONDS)
    (finding,) = found(away)
    assert (finding.kind, finding.is_alarm) == (FindingKind.EPOCH_AHEAD, True)
    assert finding.detail == TextWith(f"{AWAY} wrote epoch 9", "handover", "epoch 1")
    hand_over(away, epoch=10)
    away.deliver()
    assert away.recorder.ids() == ["a1", "a2"]
    assert found(away) == []
