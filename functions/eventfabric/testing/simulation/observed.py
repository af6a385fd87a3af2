"""Observed ports of a process: they note when it read a lane's state, what its handler was given, what it reports."""

from collections.abc import Sequence
from typing import Any

from eventfabric.model import (
    Event,
    LaneKey,
    LaneState,
    Region,
    SequenceNumber,
    Standing,
    StreamName,
    SubscriptionName,
    parse_log_lane,
)
from eventfabric.model.credit import Grants
from eventfabric.model.finding import Finding, FindingKind
from eventfabric.ports import Attempt, Handler
from eventfabric.rare_ports import Credits
from eventfabric.telemetry import LogEvent, Metric
from eventfabric.testing.memory.ledger import MemoryLedger
from eventfabric.testing.memory.requests import Requests
from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history_of_credits import CreditsRead
from eventfabric.testing.simulation.machine import Machine
from eventfabric.wire.published import Effect


class ObservedLedger(MemoryLedger):
    """A ledger that notes each read of a lane at the moment at which it takes place."""

    def __init__(self, process: Machine, region: str, requests: Requests) -> None:
        world = process.world
        super().__init__(
            world.cloud.regions[region],
            lambda name: world.topology.ledger_of(name).name,
            entropy=world.entropy,
            requests=requests,
            in_order=world.topology.streams_without_transactions,
        )
        self._process = process

    def state(self, key: LaneKey, *, glance: bool = False) -> LaneState:
        """See ports.Ledger."""
        self._process.tell(
            history.LaneRead, region=str(self.region), subscription=str(key.subscription), lane=str(key.lane)
        )
        return super().state(key, glance=glance)

    def standing(self, stream: StreamName, subscription: SubscriptionName) -> Standing:
        """See ports.Ledger."""
        self._process.tell(history.StandingRead, region=str(self.region), subscription=str(subscription))
        return super().standing(stream, subscription)


class HeardCredits:
    """A rare_ports.Credits that notes what its process heard of grants, as it does not if the reply is lost."""

    def __init__(self, inner: Credits, process: Machine, region: str) -> None:
        self._inner = inner
        self._process = process
        self._region = region

    def granted(
        self, stream: StreamName, subscription: SubscriptionName, origin: Region, *, part: int
    ) -> dict[Region, Grants]:
        """See rare_ports.Credits."""
        granted = self._inner.granted(stream, subscription, origin, part=part)
        self._process.tell(
            CreditsRead,
            region=self._region,
            stream=str(stream),
            subscription=str(subscription),
            origin=str(origin),
            granted={
                str(region): {int(index): int(grant) for index, grant in grants.items()}
                for region, grants in granted.items()
            },
        )
        return granted

    def grant(self, key: LaneKey, grant: SequenceNumber) -> SequenceNumber:
        """See rare_ports.Credits."""
        return self._inner.grant(key, grant)

    def forget(self, stream: StreamName, subscription: SubscriptionName, origin: Region, *, part: int) -> int:
        """See rare_ports.Credits."""
        return self._inner.forget(stream, subscription, origin, part=part)


class ObservedHandler:
    """A ports.Handler that notes which events were handed out, and the outcome."""

    def __init__(self, inner: Handler, process: Machine) -> None:
        self._inner = inner
        self._process = process
        self.batch_events_max = inner.batch_events_max

    def attempt(self, events: Sequence[Event], attempt: Attempt) -> Sequence[Effect]:
        """See ports.Handler."""
        process = self._process
        process.breathe(process.latency_seconds())
        places = tuple(
            history.EventPlace(str(event.id), event.key, str(event.lane), event.sequence or 0, event.late)
            for event in events
        )
        about: dict[str, Any] = {
            "region": process.region,
            "subscription": attempt.subscription,
            "events": places,
            "replay": attempt.replay,
        }
        process.tell(history.AttemptBegan, number=attempt.number, code=process.world.code, **about)
        try:
            writes = self._inner.attempt(events, attempt)
        except Exception as error:  # any error is noted, and passed on to the fabric
            process.breathe(0.0)  # if the process died in the attempt, it notes nothing more
            process.tell(history.AttemptEnded, error=type(error).__name__, **about)
            raise
        process.breathe(0.0)
        process.tell(history.AttemptEnded, **about)
        return writes


class HistoryTelemetry:
    """A telemetry.Telemetry that notes findings and the age of the oldest event in the history, and drops all else."""

    def __init__(self, process: Machine) -> None:
        self._process = process

    def add(self, metric: Metric, value: float = 1, *, of: str | None = None) -> None:
        """Drop it."""

    def gauge(self, metric: Metric, value: float, *, of: str | None = None) -> None:
        """Note how long the oldest event has waited; drop all else."""
        if metric is Metric.OLDEST_UNDELIVERED:
            self._process.tell(
                history.Gauged,
                region=self._process.region,
                subscription=of or "",
                metric=metric.value,
                value=value,
            )

    def tell(self, event: LogEvent, **about: object) -> None:
        """Note a finding; drop all else."""
        # Checkers judge the first stream; the second one is only what handlers published.
        if event is not LogEvent.FINDING or about["stream"] != self._process.world.plan.stream:
            return
        kind, lane, repaired = FindingKind(str(about["kind"])), str(about["lane"]), bool(about["repaired"])
        sequence = SequenceNumber(int(str(about["sequence"])))
        stream, region = StreamName(self._process.world.plan.stream), Region(self._process.region)
        finding = Finding(kind, stream, parse_log_lane(lane), region, sequence, "", is_repaired=repaired)
        self._process.tell(
            history.Found,
            region=self._process.region,
            lane=lane,
            finding=kind.value,
            subscription=str(about["subscription"] or ""),
            sequence=int(sequence),
            repaired=repaired,
            alarm=finding.is_alarm,
        )
