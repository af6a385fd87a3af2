"""Positions from which a stream comes again when some doorbells of some subscriptions could not be sent."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from eventfabric.definition.file import parse_definition
from eventfabric.model import Doorbell, Lane, SequenceNumber
from eventfabric.services.delivery.relay import relay
from eventfabric.telemetry import Metric, NoTelemetry
from eventfabric.testing.memory.cloud import MemoryCloud
from eventfabric.testing.memory.doorbells import MemoryDoorbells
from eventfabric.topology import Topology
from eventfabric.wire.doorbell import from_body
from eventfabric.wire.stream_record import RecordNews
from tests.support.memory_fabric import HOME, STREAM, MemoryFabric, lane

TOPOLOGY = Topology(
    parse_definition(f"""
        [fabric]
        name = "shop"
        regions = ["{HOME}"]
        [streams.{STREAM}]
        lanes = 2
        [subscriptions.audit]
        stream = "{STREAM}"
        handler = "subscribers.audit:note"
        [subscriptions.billing]
        stream = "{STREAM}"
        handler = "subscribers.billing:charge"
    """)
)


class Refusing(MemoryDoorbells):
    """Doorbells that cannot be sent for these lanes of these subscriptions."""

    refused: frozenset[tuple[str, Lane]] = frozenset()

    def ring(self, subscription: str, doorbells: Sequence[Doorbell]) -> list[Doorbell]:
        kept = [bell for bell in doorbells if (subscription, bell.lane) in self.refused]
        return kept + super().ring(subscription, [bell for bell in doorbells if bell not in kept])


@dataclass
class Rung(NoTelemetry):
    """Telemetry that keeps what is added, by stream."""

    added: list[tuple[Metric, float, str | None]] = field(default_factory=list)

    def add(self, metric: Metric, value: float = 1, *, of: str | None = None) -> None:
        self.added.append((metric, value, of))


@dataclass
class Relayed:
    """A cloud, and what one batch of changes of two lanes through the relay came to."""

    cloud: MemoryCloud
    telemetry: Rung
    again_from: str | None

    def rung(self, subscription: str) -> list[Lane]:
        return [from_body(body).lane for body in self.cloud.queue(subscription, HOME).bodies]


def relayed(*refused: tuple[str, Lane], owners: Sequence[str] = ("audit", "billing")) -> Relayed:
    cloud = MemoryFabric(TOPOLOGY).cloud
    doorbells = Refusing(
        cloud.regions[HOME],
        lambda name: TOPOLOGY.subscription(name).queue.name,
        lambda name: TOPOLOGY.subscription(name).timers.name,
    )
    doorbells.refused = frozenset(refused)
    telemetry = Rung()
    again_from = relay(
        [RecordNews(f"p{n}", lane(n % 2), SequenceNumber(n + 1)) for n in range(4)],
        TOPOLOGY.stream(STREAM),
        region=HOME,
        owns=lambda subscription, origin: subscription.name in owners,
        doorbells=doorbells,
        telemetry=telemetry,
    )
    return Relayed(cloud, telemetry, again_from)


def test_it_comes_again_from_the_first_change_of_a_lane_that_was_not_rung_and_no_earlier() -> None:
    assert relayed(("billing", lane(1))).again_from == "p1"
    assert relayed(("billing", lane(0))).again_from == "p0"


def test_a_lane_that_one_subscription_was_not_rung_for_is_not_forgotten_over_the_next() -> None:
    rings = relayed(("audit", lane(1)))
    assert rings.again_from == "p1"
    assert (rings.rung("audit"), rings.rung("billing")) == ([lane(0)], [lane(0), lane(1)])


def test_what_was_rung_and_what_not_is_counted_of_the_stream() -> None:
    rings = relayed(("billing", lane(1)))
    assert rings.telemetry.added == [
        (Metric.DOORBELLS_RUNG, 2, STREAM),
        (Metric.DOORBELLS_FAILED, 0, STREAM),
        (Metric.DOORBELLS_RUNG, 1, STREAM),
        (Metric.DOORBELLS_FAILED, 1, STREAM),
    ]


def test_each_subscription_is_asked_by_itself_whether_this_region_delivers_it() -> None:
    for subscription in ("audit", "billing"):
        outcome = relayed(owners=[subscription])
        rings = {name: len(outcome.rung(name)) for name in ("audit", "billing")}
        assert rings == {"audit": 0, "billing": 0} | {subscription: 2}
