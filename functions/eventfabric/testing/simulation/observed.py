"""Observed ports of a process: they note when it read a lane's state, and what its handler was given."""

from collections.abc import Sequence
from typing import Any

from eventfabric.model import Event, LaneKey, LaneState, Standing, StreamName, SubscriptionName, Write
from eventfabric.ports import Attempt, Handler
from eventfabric.testing.memory.ledger import MemoryLedger
from eventfabric.testing.memory.requests import Requests
from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.machine import Machine


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


class ObservedHandler:
    """A ports.Handler that notes which events were handed out, and the outcome."""

    def __init__(self, inner: Handler, process: Machine) -> None:
        self._inner = inner
        self._process = process
        self.batch_events_max = inner.batch_events_max

    def attempt(self, events: Sequence[Event], attempt: Attempt) -> Sequence[Write]:
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
