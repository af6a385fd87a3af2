"""A stream and a subscription as values: the table, queues and function of each, their names, and who delivers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from eventfabric import limits
from eventfabric.definition.schema import Stream, Subscription
from eventfabric.errors import ClosingRegionError, NoTransactionsError, WrongRegionError
from eventfabric.resources import QueueTopology, TableTopology, TimerQueueTopology

INCARNATION: Final = "#"
"""Separates a subscription's name from its incarnation. No name has it."""


def name_of_state(state_name: str) -> str:
    """Return the name of the subscription that keeps its state under `state_name`: what people and metrics call it."""
    return state_name.partition(INCARNATION)[0]


@dataclass(frozen=True)
class Incarnation:
    """A subscription's life under its name, from its declaration until it is retired."""

    number: int = 0
    """Number of times that another subscription of this name was retired."""
    since_ms: int = 0
    """Time at which it was declared first, in milliseconds since 1970; 0: it was not, or not as far as is known."""


FIRST_INCARNATION: Final = Incarnation()


@dataclass(frozen=True)
class SubscriptionTopology:
    """A subscription's queue and function, and the lanes that each Region delivers for it."""

    fabric: str
    name: str
    definition: Subscription
    regions: tuple[str, ...]
    retention_seconds: int | None = None
    """Time for which the stream keeps its records; None: for ever."""
    lanes: int = 1
    """Lanes with which the stream began in each Region."""
    shares_state: bool = False
    """All Regions see one state at once, as for a stream whose durability is quorum."""
    incarnations: Mapping[str, Incarnation] = field(default_factory=dict)
    """Incarnations by name, as far as they are known; of this subscription, it is looked up when it is needed."""

    @property
    def incarnation(self) -> Incarnation:
        """Present life of the subscription. Raises what looking it up raises."""
        return self.incarnations.get(self.name, FIRST_INCARNATION)

    @property
    def state_name(self) -> str:
        """Name under which the subscription's state is kept: that of its first incarnation is the subscription's."""
        number = self.incarnation.number
        return f"{self.name}{INCARNATION}{number}" if number else self.name

    @cached_property
    def queue(self) -> QueueTopology:
        """Queue of the subscription's doorbells, equal in every Region that delivers for it."""
        return QueueTopology(
            doorbell_queue(self.fabric, self.name),
            f"{self.fabric}-{self.name}-dead.fifo",
            visibility_timeout_seconds=limits.VISIBILITY_TIMEOUTS * self.definition.function.timeout_seconds,
        )

    @cached_property
    def timers(self) -> TimerQueueTopology:
        """Queue of timers, which are doorbells that come later. All subscriptions of a Region share it."""
        return TimerQueueTopology.of(self.fabric)

    @property
    def former_timers_name(self) -> str:
        """Queue of the subscription's timers in earlier versions, of which a deployment may leave some."""
        return f"{self.fabric}-{self.name}-timers"

    @property
    def queue_tags(self) -> dict[str, str]:
        """Tags of the subscription's queues by their names; see QUEUE_TAG."""
        of = f"{self.fabric}/{self.definition.stream}"
        return {
            self.queue.name: f"{of}/doorbells",
            self.queue.dead_letter_name: f"{of}/dead",
        }

    @property
    def function_name(self) -> str:
        """Name of the subscription's deliver function."""
        return f"{self.fabric}-{self.name}"

    def owner(self, origin: str) -> str | None:
        """Return the Region that delivers the lanes appended in `origin`, by the definition; None: every Region."""
        match self.definition.deliver:
            case "everywhere":
                return None
            case "one":
                return self.definition.region
            case _:
                return origin

    def home(self, origin: str) -> str | None:
        """Return the Region under which an origin's lanes keep their state, whoever delivers; None: each its own."""
        return origin if self.shares_state and self.owner(origin) is not None else None

    def delivers(self, origin: str, region: str) -> bool:
        """Tell if `region` delivers the lanes appended in `origin`, by the definition."""
        return self.owner(origin) in (None, region) and region in self.regions


@dataclass(frozen=True)
class StreamTopology:
    """A stream's table and its subscriptions."""

    fabric: str
    name: str
    definition: Stream
    subscriptions: tuple[SubscriptionTopology, ...]
    closing: tuple[str, ...] = ()
    """Regions in which nothing is published any more, because they will be taken out."""
    former: tuple[str, ...] = ()
    """Regions that it was in once, as far as that is known."""

    def has_lane(self, origin: str, generation: int, index: int) -> bool:
        """Tell if the stream can have that lane: by its definition, or once lanes of it were split."""
        if origin not in self.definition.regions or not 0 <= generation < limits.LANES_MAX.bit_length():
            return False
        return 0 <= index < self.definition.lanes << generation <= limits.LANES_MAX

    @cached_property
    def table(self) -> TableTopology:
        """Table of the log, with one replica in each of the stream's Regions."""
        return TableTopology(
            name=f"{self.fabric}-{self.name}",
            regions=self.definition.regions,
            sort_key_type="N",
            expiry_attribute=None if self.definition.retention_days is None else "x",
            is_quorum=self.definition.durability == "quorum",
        )

    @cached_property
    def own_ledger(self) -> TableTopology | None:
        """Table with the state of a quorum stream's subscriptions, as consistent as its log; None for other streams."""
        if not self.table.is_quorum:
            return None
        return TableTopology(f"{self.table.name}-ledger", self.table.regions, "S", is_quorum=True)

    @cached_property
    def gating(self) -> tuple[SubscriptionTopology, ...]:
        """Subscriptions that let producers append only as far as they grant."""
        return tuple(own for own in self.subscriptions if own.definition.backpressure is not None)

    @property
    def retention_seconds(self) -> int | None:
        """Time for which records are kept; None: for ever."""
        return retention_seconds(self.definition)

    @property
    def source(self) -> str:
        """CloudEvents source of events whose producer names none."""
        return f"/{self.fabric}/{self.name}"

    def check_region(self, region: str | None) -> str:
        """Return `region` if the stream is in it, else raise WrongRegionError."""
        if region not in self.definition.regions:
            raise WrongRegionError(f"stream {self.name}", region, self.definition.regions)
        return region

    def check_open(self, region: str) -> str:
        """Return `region` if events may be published to the stream in it, else raise WrongRegionError."""
        self.check_region(region)
        if region in self.closing:
            left = [name for name in self.definition.regions if name not in self.closing]
            raise ClosingRegionError(f"stream {self.name}", region, left)
        return region

    def check_transactions(self, asked: str) -> None:
        """Raise NoTransactionsError if the log can have no part in a transaction. `asked`: what would need one."""
        if self.table.is_quorum:
            raise NoTransactionsError(self.name, asked)


def ledger_table(fabric: str, regions: tuple[str, ...]) -> TableTopology:
    """Return the table with the state of a fabric's subscriptions. Only steps and decisions expire."""
    return TableTopology(
        f"{fabric}-ledger", regions=regions, sort_key_type="S", expiry_attribute="expiration"
    )


def doorbell_queue(fabric: str, subscription: str) -> str:
    """Name the queue of a subscription's doorbells, which is equal in each Region."""
    return f"{fabric}-{subscription}.fifo"


def retention_seconds(stream: Stream) -> int | None:
    """Return for how long a stream keeps its records; None: for ever."""
    return None if stream.retention_days is None else stream.retention_days * 86_400
