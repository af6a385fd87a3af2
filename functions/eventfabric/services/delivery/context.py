"""Context: everything that all visits of a subscription share, and what they remember of each other."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eventfabric import limits
from eventfabric.model import HybridTime, Lane, LaneKey, Region, Roster, SequenceNumber, SubscriptionFilter
from eventfabric.ports import Clock, Doorbells, Handler, Ledger, Log
from eventfabric.services.delivery.breaker import CircuitBreaker
from eventfabric.services.delivery.pace import Pace
from eventfabric.services.delivery.patience import Patience
from eventfabric.services.delivery.retry import RetryPolicy
from eventfabric.services.delivery.side_by_side import SideBySide
from eventfabric.stream_topology import SubscriptionTopology
from eventfabric.telemetry import Metric, Telemetry
from eventfabric.wire.published import Published, Target

if TYPE_CHECKING:
    from eventfabric.services.delivery.begin import Beginnings
    from eventfabric.services.delivery.granting import Granting
    from eventfabric.services.delivery.limiter import Limiter
    from eventfabric.services.delivery.target_streams import TargetStreams, TargetWrites


@dataclass(frozen=True, slots=True)
class Later:
    """The last event of a key that other Regions' lanes handed out: its time, place, id and type."""

    time: HybridTime
    lane: Lane
    base: SequenceNumber
    sequence: SequenceNumber
    id: str
    type: str


@dataclass(slots=True)
class HandedOut:
    """Memory of what other Regions' lanes handed out after `since`. Each was looked at up to `reached`."""

    since: HybridTime
    reached: dict[Lane, SequenceNumber] = field(default_factory=dict)
    last: dict[str, Later] = field(default_factory=dict)


@dataclass(slots=True)
class Uncommitted:
    """Memory of what stands in target lanes for events of a lane that are not committed yet.

    `place`: the lane's state meanwhile; if that has changed, somebody else has gone on with the events. `landed`: how
    often each published event was appended. `failed`: the write that could not be made.
    """

    place: tuple[SequenceNumber, Roster]
    landed: Counter[bytes] = field(default_factory=Counter)
    failed: "TargetWrites | None" = None

    def missing(self, published: Sequence[Published]) -> Sequence[Published]:
        """Return the events that have not landed. Each that has landed stands for one of them."""
        left = Counter(self.landed)
        return [event for event in published if not _taken(left, event.digest)] if left else published


def _taken(left: Counter[bytes], digest: bytes) -> bool:
    """Take one of these from a counter, if there is one."""
    left[digest] -= 1
    return left[digest] >= 0


@dataclass(frozen=True, slots=True)
class VisitContext:
    """The ports and services of a visit."""

    subscription: SubscriptionTopology
    filter: SubscriptionFilter
    region: Region
    log: Log
    ledger: Ledger
    doorbells: Doorbells
    handler: Handler
    policy: RetryPolicy
    breaker: CircuitBreaker
    beginnings: "Beginnings"
    pace: Pace
    clock: Clock
    telemetry: Telemetry
    side_by_side: SideBySide
    targets: "TargetStreams | None" = None
    """Streams that the handler may publish into; None: it publishes nothing."""
    granting: "Granting | None" = None
    """Grants to producers; None: the subscription does not hold them back."""
    limiter: "Limiter | None" = None
    """Limiter of attempts at the same time; None: their number is fixed."""
    handed_out: dict[LaneKey, HandedOut] = field(default_factory=dict)
    """Memory of what other Regions' lanes have handed out, by the lane whose old events asked for it; see late.py."""

    uncommitted: dict[LaneKey, Uncommitted] = field(default_factory=dict)
    """Memory of what was published for events that are not committed, by the lane whose run failed."""
    short_of_credit: dict[LaneKey, frozenset[Target]] = field(default_factory=dict, repr=False)
    """Lanes that had no credit for what handlers published, by the lane whose events these handled."""

    def patience(self, deadline_ms: int, most_seconds: float = limits.LANE_PATIENCE_SECONDS) -> Patience:
        """Begin to be patient with a call, for as long as a lane run may be patient and its invocation has time."""
        # Other lanes of the invocation wait meanwhile. After some seconds the lane is rung anew instead.
        left_seconds = (deadline_ms - self.clock.now_ms()) / 1000
        seconds = max(0.0, min(most_seconds, left_seconds))
        return Patience(self.clock, self.policy.entropy, seconds=seconds)

    def tell_latency(self, appended_ms: int) -> None:
        """Report the time from append to commit, unless the producer's clock is too far ahead for it to be known."""
        # The time of an append is its producer's. A latency below 0 shows only that two clocks differ.
        latency_ms = self.clock.now_ms() - appended_ms
        if latency_ms >= -limits.CLOCK_TOLERANCE_MILLISECONDS:
            self.telemetry.add(Metric.DELIVERY_LATENCY, max(0, latency_ms))

    @property
    def commits_first(self) -> bool:
        """Tell if events are committed before they are attempted, so that they may be lost and never repeated."""
        return self.subscription.definition.guarantee.commits_first

    @property
    def decides_alone(self) -> Region | None:
        """This Region, if every Region delivers for itself; None if one Region delivers a lane for all."""
        return self.region if self.subscription.definition.deliver == "everywhere" else None
