"""A fabric with several subscriptions: what is not to be looked at for one of them does not end the look at others."""

import pytest

from eventfabric.definition.file import parse_definition
from eventfabric.errors import FailoverError
from eventfabric.model import (
    START,
    Circuit,
    CircuitState,
    LaneKey,
    Owner,
    Record,
    SequenceNumber,
    StreamName,
    SubscriptionName,
)
from eventfabric.model.finding import FindingKind
from eventfabric.services.operations.failover import Failover
from eventfabric.services.proof.prove import Prover
from eventfabric.services.reconciliation.reconcile import Reconciler
from eventfabric.telemetry import Metric
from eventfabric.topology import Topology
from eventfabric.wire import cursor_item
from tests.support.memory_fabric import AWAY, HOME, LANE, STREAM, Counting, MemoryFabric, event

DEFINITION = f"""
    [fabric]
    name = "shop"
    regions = ["{HOME}", "{AWAY}"]
    [streams.local]
    regions = ["{HOME}"]
    durability = "regional"
    [streams.{STREAM}]
    lanes = 1
    [subscriptions.archive]
    stream = "local"
    handler = "subscribers.billing:charge"
    [subscriptions.audit]
    stream = "{STREAM}"
    handler = "subscribers.billing:charge"
    deliver = "one"
    region = "{AWAY}"
    [subscriptions.billing]
    stream = "{STREAM}"
    handler = "subscribers.billing:charge"
    types = ["placed"]
    [subscriptions.charging]
    stream = "{STREAM}"
    handler = "subscribers.billing:charge"
"""


class SeveralSubscriptions(MemoryFabric):
    """The fabric in memory, nothing in it yet."""

    def __init__(self) -> None:
        super().__init__(Topology(parse_definition(DEFINITION)))

    def put_cursor(self, subscription: str, record: Record) -> None:
        """Put a cursor as it is when everything up to the end of a record is handled."""
        key = LaneKey(StreamName(STREAM), SubscriptionName(subscription), LANE)
        tail = record.tail
        moved = type(START)(tail.sequence, tail.sequence, tail.chain, version=1)
        item = cursor_item.to_item(key, HOME, moved, token=b"x" * 16, now_ms=self.clock.now_ms())
        self.cloud.regions[HOME].table(self.topology.ledger.name).write("Put", {"Item": item})

    def circuit(self, subscription: str) -> Circuit:
        ledger = self.cloud.ledger(HOME)
        return ledger.standing(StreamName(STREAM), SubscriptionName(subscription)).circuit

    def switch(self, subscription: str, to: Circuit) -> None:
        ledger = self.cloud.ledger(HOME)
        names = StreamName(STREAM), SubscriptionName(subscription)
        assert ledger.switch(*names, self.circuit(subscription), to)

    def failover(self) -> Failover:
        return Failover(self.topology, source=HOME, target=AWAY, ports=self.ports(AWAY))


def by_hand() -> Circuit:
    return Circuit(CircuitState.PAUSED, "by hand")


class TestHandovers:
    def test_only_what_both_regions_have_and_the_source_delivers_is_handed_over(self) -> None:
        handed = [
            (subscription.name, owner) for subscription, owner in SeveralSubscriptions().failover().handed()
        ]
        owner = Owner(HOME, HOME, 0, HOME)
        assert handed == [("billing", owner), ("charging", owner)]

    def test_one_that_is_paused_by_hand_does_not_keep_the_others_from_being_paused(self) -> None:
        shop = SeveralSubscriptions()
        shop.switch("billing", by_hand())
        shop.failover().drain(shop.clock.advance)
        assert (shop.circuit("billing").reason, shop.circuit("charging").reason) == (
            "by hand",
            f"failover to {AWAY}",
        )

    def test_what_somebody_pauses_by_hand_meanwhile_stays_so_where_the_source_is_not_drained(self) -> None:
        shop = SeveralSubscriptions()
        shop.put(event("a1"))

        def wait(seconds: float) -> None:
            if shop.circuit("billing").reason != "by hand":
                shop.switch("billing", by_hand())
            shop.clock.advance(seconds)

        with pytest.raises(FailoverError):
            shop.failover().drain(wait, patience_seconds=2)
        assert (shop.circuit("billing").state, shop.circuit("charging").state) == (
            CircuitState.PAUSED,
            CircuitState.CLOSED,
        )

    def test_lanes_go_back_and_forth_each_time_with_a_higher_number(self) -> None:
        shop = SeveralSubscriptions()
        for source, target in ((HOME, AWAY), (AWAY, HOME), (HOME, AWAY)):
            Failover(shop.topology, source=source, target=target, ports=shop.ports(target)).hand_over("why")
            shop.cloud.replicate()
        now_ms = shop.clock.now_ms()
        standing = shop.ports(AWAY).ledger.standing(StreamName(STREAM), SubscriptionName("billing"))
        assert standing.written(HOME, AWAY) == Owner(HOME, AWAY, 3, AWAY, now_ms, "why", version=2)
        assert standing.written(HOME, HOME) == Owner(HOME, HOME, 2, HOME, now_ms, "why", version=1)

    def test_what_was_delivered_and_has_no_parked_keys_is_ready(self) -> None:
        shop = SeveralSubscriptions()
        record = shop.put(event("a1"))
        for name in ("billing", "charging"):
            shop.put_cursor(name, record)
        shop.cloud.replicate()
        counted = [
            (ready.subscription.name, ready.waiting, ready.retrying, ready.dead, ready.behind, ready.repeated)
            for ready in shop.failover().readiness()
        ]
        assert counted == [("billing", 0, 0, 0, 0, 0), ("charging", 0, 0, 0, 0, 0)]


class TestProofs:
    def test_one_that_another_region_delivers_or_that_never_began_does_not_hide_the_others(self) -> None:
        shop = SeveralSubscriptions()
        record = shop.put(event("a1"))
        shop.put_cursor("charging", record)
        names = ["audit", "billing", "charging"]
        every = [shop.topology.subscription(name) for name in names]
        prover = Prover(shop.topology.stream(STREAM), every, shop.ports(HOME), lane=LANE)
        proofs = prover.prove(LANE)
        assert [(proof.subscription, proof.is_proven, proof.events) for proof in proofs] == [
            ("charging", True, 1)
        ]


class TestPasses:
    def test_each_subscription_that_this_region_delivers_is_looked_at(self) -> None:
        shop, telemetry = SeveralSubscriptions(), Counting()
        shop.put_cursor("charging", shop.put(event("a1")))
        shop.clock.advance(3_600)
        stream = shop.topology.stream(STREAM)
        passing = Reconciler(stream, region=HOME, ports=shop.ports(HOME), telemetry=telemetry)
        findings = [(finding.kind, finding.subscription) for finding in passing.run(repair=False)]
        assert findings == [(FindingKind.UNRUNG, "billing")]
        ages = {name: telemetry.gauges[Metric.OLDEST_UNDELIVERED, name] for name in ("audit", "billing")}
        assert ages == {"audit": 0, "billing": 3_600}
        assert telemetry.gauges[Metric.OLDEST_UNDELIVERED, "charging"] == 0
        marks = shop.ports(HOME).ledger.marks(StreamName(STREAM), HOME)
        assert marks.of(LANE.index).cursors == {"billing": (0, 0), "charging": (0, SequenceNumber(1))}
