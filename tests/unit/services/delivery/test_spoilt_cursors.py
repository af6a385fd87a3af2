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
from tests.support.failing_handlers import Failing, fabric_of, named, retry
from tests.support.handovers import hand_over
from tests.support.memory_fabric import AWAY, HOME, LANE, event
from tests.support.messages import TextWith
from tests.support.subscribed_stream import SubscribedStream

Change = Callable[[Item], Item]


def rewrite(fabric: SubscribedStream, change: Change) -> None:
    """Change the stored cursor of the Region that is looked at."""
    table = fabric.cloud.regions[fabric.region].table(fabric.topology.ledger.name)
    item = table.get(cursor_key(fabric.key_of(LANE), fabric.region), consistent=True)
    assert item is not None
    table.write("Put", {"Item": change(item)})


def without(*names: str) -> Change:
    return lambda item: {name: value for name, value in item.items() if name not in names}


def findings_in(fabric: SubscribedStream, *, repair: bool = True) -> list[Finding]:
    reconciler = Reconciler(
        fabric.stream, region=fabric.region, ports=fabric.ports(fabric.region), telemetry=fabric.telemetry
    )
    return list(reconciler.run(repair=repair))


def with_a_dead_key() -> SubscribedStream:
    fabric = fabric_of(Failing({"a1": 99}), *named("a1", "b1"), **retry(immediate=0, attempts=1))
    fabric.deliver()
    assert fabric.recorder.ids() == ["b1"]
    return fabric


def take_parked(fabric: SubscribedStream) -> list[Item]:
    """Remove the parked keys from the ledger; returns their items."""
    table = fabric.cloud.regions[fabric.region].table(fabric.topology.ledger.name)
    items = [item for item in table.items if is_parked(ledger_region_and_kind(item)[1])]
    for item in items:
        table.write("Delete", {"Key": {"pk": item["pk"], "sk": item["sk"]}})
    return items


@pytest.mark.parametrize("missing", ["p", "l"])
def test_a_cursor_with_a_digest_of_its_parked_keys_and_no_first_event_or_the_other_way_is_refused(
    missing: str,
) -> None:
    fabric = with_a_dead_key()
    rewrite(fabric, without(missing))
    fabric.put(event("a2", key="a"))
    assert fabric.deliver().outcome is LaneOutcome.STOPPED
    assert fabric.recorder.ids() == ["b1"]
    assert [finding.kind for finding in findings_in(fabric)] == [FindingKind.UNREADABLE]


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
    fabric = with_a_dead_key()
    rewrite(fabric, lambda item: item | spoiled)
    item = (
        fabric.cloud.regions[HOME]
        .table(fabric.topology.ledger.name)
        .get(cursor_key(fabric.key_of(LANE), HOME), consistent=True)
    )
    assert item is not None
    with pytest.raises(UndecodableItemError, match=f"field {next(iter(spoiled))}"):
        from_item(item)


def test_a_cursor_that_names_none_of_its_parked_keys_stops_the_lane_until_a_pass_names_them() -> None:
    fabric = with_a_dead_key()
    rewrite(fabric, without("d"))
    fabric.put(*named("a2", "b2"))
    stopped = fabric.deliver()
    assert stopped.outcome is LaneOutcome.STOPPED
    assert "field l" in str(stopped.cause)
    (finding,) = [
        finding for finding in findings_in(fabric, repair=False) if finding.kind is FindingKind.PARKED_DIFFERS
    ]
    assert (finding.is_alarm, finding.sequence) == (True, 0)
    (finding,) = [finding for finding in findings_in(fabric) if finding.kind is FindingKind.PARKED_DIFFERS]
    assert finding.is_repaired
    fabric.deliver_all()
    assert fabric.recorder.ids() == ["b1", "b2"]
    assert [place.sequence for place in fabric.parked()["a"].waiting] == [0, 2]
    assert FindingKind.PARKED_DIFFERS not in [finding.kind for finding in findings_in(fabric)]


def test_an_order_that_a_roster_forgot_is_kept_through_a_failover() -> None:
    fabric = with_a_dead_key()
    rewrite(fabric, without("d", "t"))
    fabric.put(event("a2", key="a"))
    fabric.deliver()
    findings_in(fabric)
    fabric.deliver_all()
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY)
    hand_over(away)
    away.deliver()
    assert away.recorder.ids() == []
    assert [place.sequence for place in away.parked()["a"].waiting] == [0, 2]


def test_a_roster_that_lacks_one_key_of_several_is_found_and_completed() -> None:
    fabric = fabric_of(
        Failing({"a1": 99, "c1": 99}), *named("a1", "b1", "c1"), **retry(immediate=0, attempts=1)
    )
    fabric.deliver()
    rewrite(fabric, lambda item: item | {"d": {"B": item["d"]["B"][:3]}})
    fabric.put(*named("a2", "c2"))
    assert FindingKind.PARKED_DIFFERS in [
        finding.kind for finding in findings_in(fabric) if finding.is_repaired
    ]
    fabric.deliver_all()
    assert fabric.recorder.ids() == ["b1"]
    assert {key: len(parked.waiting) for key, parked in fabric.parked().items()} == {"a": 2, "c": 2}


def test_a_key_that_the_roster_names_and_that_is_gone_is_found_and_never_forgotten_by_a_repair() -> None:
    fabric = with_a_dead_key()
    take_parked(fabric)
    for _ in range(2):
        (finding,) = [
            finding for finding in findings_in(fabric) if finding.kind is FindingKind.PARKED_DIFFERS
        ]
        assert (finding.is_alarm, finding.sequence) == (True, 0)
        assert finding.detail == TextWith("1 keys are named", "1 of them are not there", "0 are parked")


def test_a_key_that_is_parked_and_that_a_cursor_says_nothing_of_is_named_by_a_repair() -> None:
    fabric = with_a_dead_key()
    rewrite(fabric, without("l", "p", "d"))
    (finding,) = [finding for finding in findings_in(fabric) if finding.kind is FindingKind.PARKED_DIFFERS]
    assert finding.is_repaired
    fabric.put(*named("a2"))
    fabric.deliver_all()
    assert [place.sequence for place in fabric.parked()["a"].waiting] == [0, 2]


def test_a_first_waiting_event_that_is_another_is_found() -> None:
    fabric = with_a_dead_key()
    rewrite(fabric, lambda item: item | {"l": {"L": [{"N": "1"}, {"N": "1"}]}})
    assert FindingKind.PARKED_DIFFERS in [finding.kind for finding in findings_in(fabric)]
    assert FindingKind.PARKED_DIFFERS not in [finding.kind for finding in findings_in(fabric)]


def test_a_lane_whose_cursor_is_ahead_of_every_handover_is_found_and_mended_by_another() -> None:
    fabric = fabric_of(Failing({}), *named("a1"))
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY)
    hand_over(away)
    away.deliver()
    rewrite(away, lambda item: item | {"e": {"N": "9"}})
    fabric.put(event("a2"))
    fabric.cloud.replicate()
    assert away.deliver().outcome is LaneOutcome.NOT_OWNER
    assert findings_in(away) == []  # its handover may be on its way
    away.clock.advance(2 * limits.UNRUNG_SECONDS)
    (finding,) = findings_in(away)
    assert (finding.kind, finding.is_alarm) == (FindingKind.EPOCH_AHEAD, True)
    assert finding.detail == TextWith(f"{AWAY} wrote epoch 9", "handover", "epoch 1")
    hand_over(away, epoch=10)
    away.deliver()
    assert away.recorder.ids() == ["a1", "a2"]
    assert findings_in(away) == []
