"""The plan of a simulation: everything that a seed decides before it begins, as plain data that can be shrunk."""

from typing import Any

import msgspec

from eventfabric.definition.guarantee import Guarantee
from eventfabric.model import Event


class Conduct(msgspec.Struct, frozen=True, omit_defaults=True):
    """Behaviour of handlers with one event, until the code is mended, over all attempts at the event.

    The first `crashes` attempts kill the process, the next `hangs` do not return in time, the next `fails` raise. With
    `permanent`, all later attempts raise an error that no attempt can mend.
    """

    crashes: int = 0
    hangs: int = 0
    fails: int = 0
    permanent: bool = False

    @property
    def is_fine(self) -> bool:
        """Tell if the first attempt handles the event."""
        return self == FINE


FINE = Conduct()


class PlannedEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event to be published."""

    id: str
    key: str
    type: str = "placed"
    conduct: Conduct = FINE
    data: Any = None
    source: str | None = None
    time: str | None = None
    headers: dict[str, Any] = {}

    def to_event(self) -> Event:
        """Make the event to be published."""
        return Event(
            id=self.id,
            type=self.type,
            key=self.key,
            data=self.data,
            source=self.source,
            time=self.time,
            headers=self.headers,
        )


class Publish(msgspec.Struct, frozen=True, omit_defaults=True):
    """One call of a producer in a Region. `how`: one, many, once, transaction, or acks2."""

    after_seconds: float
    producer: int
    events: tuple[PlannedEvent, ...]
    how: str = "many"


class Happening(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something done to the fabric. `what` names it; see simulation/happenings.py."""

    after_seconds: float
    what: str
    region: str = ""
    other: str = ""
    seconds: float = 0.0
    number: int = 0


class PlannedBackpressure(msgspec.Struct, frozen=True, omit_defaults=True):
    """Bounds within which a subscription lets producers be ahead of it."""

    seconds: int = 10
    events_min: int = 16
    while_paused: str = "pass"


class PlannedSubscription(msgspec.Struct, frozen=True, omit_defaults=True):
    """The relevant parts of a subscription's definition.

    `steps`: its handler has an effect outside, in a step. `publishes`: it publishes an invoice for each event, with
    `once` only if none of that id was published before.
    """

    name: str
    guarantee: Guarantee = Guarantee.AT_LEAST_ONCE
    order: str = "key"
    deliver: str = "origin"
    on_late: str = "deliver"
    on_expired: str = "halt"
    start: str = "earliest"
    types: tuple[str, ...] = ()
    batch: int = 1
    immediate: int = 0
    attempts: int = 4
    failure_ratio: float = 0.5
    parked_keys: int = 100
    consumers: int = 1
    concurrency: int = 1
    steps: bool = False
    publishes: bool = False
    once: bool = False
    backpressure: PlannedBackpressure | None = None


class Plan(msgspec.Struct, frozen=True, omit_defaults=True):
    """A plan of one simulation. `producers`: the Region of each. `failover`: producers may turn to other Regions.

    `clones`: all processes of a Region's producers are copies of one process, and draw the same random numbers.
    `bounds`: values of limits.py that are smaller than usual, so that a few events reach them. `invoices`: lanes of the
    second stream, into which handlers publish; 0: there is none. `rivals`: other publishers to it. `declared`: what
    is deployed is declared. `by_catalogue`: producers and functions go by what is declared, too.
    """

    seed: int
    profile: str
    regions: tuple[str, ...]
    lanes: int
    durability: str
    subscriptions: tuple[PlannedSubscription, ...]
    producers: tuple[str, ...]
    publishes: tuple[Publish, ...]
    happenings: tuple[Happening, ...]
    rates: dict[str, float]
    stream: str = "orders"
    retention_days: int = 0
    failover: bool = False
    shards: int = 1
    slowness: float = 1.0
    express: bool = False
    clones: bool = False
    bounds: dict[str, int] = {}
    invoices: int = 0
    rivals: int = 0
    declared: bool = False
    by_catalogue: bool = False

    def rate(self, fault: str) -> float:
        """Return how often a fault happens, as a share of the calls that it can hit."""
        return self.rates.get(fault, 0.0)

    @property
    def events(self) -> dict[str, PlannedEvent]:
        """Every event that is to be published, by its id."""
        return {event.id: event for publish in self.publishes for event in publish.events}

    @property
    def size(self) -> int:
        """Size of the plan. Of two plans that show the same failure, the smaller one is kept."""
        events = sum(len(publish.events) + 1 for publish in self.publishes)
        consumers = sum(subscription.consumers + 2 for subscription in self.subscriptions)
        return (
            events + consumers + len(self.happenings) + len(self.rates) + 2 * len(self.regions) + self.lanes
        )
