"""Draws the plan of a whole fabric from a seed: Regions, subscriptions, what is published, and what goes wrong."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

from msgspec.structs import replace

from eventfabric.definition.guarantee import Guarantee
from eventfabric.testing.simulation.drawing import Draw, Profile
from eventfabric.testing.simulation.plan import (
    FINE,
    Conduct,
    Plan,
    PlannedBackpressure,
    PlannedEvent,
    PlannedSubscription,
    Publish,
)

REGIONS: Final = ("us-east-1", "eu-west-1", "ap-south-1")
_STEPS_SHARE: Final = 0.25
_ONCE_SHARE: Final = 0.4
_TORN_RATES: Final = (0.1, 0.5)
_ANYWHERE: Final = (
    "deploy",
    "mend",
    "split",
    "reconcile",
    "reconcile",
    "clock",
    "outage",
    "redrive",
    "redrive",
    "discard",
    "replay",
    "replay",
    "pause",
    "throttled",
    "no_timers",
    "no_doorbells",
    "settings",
    "edit",
    "prove",
)
_BETWEEN: Final = ("region_loss", "region_loss", "silence", "cut", "failover", "failover", "failback")


@dataclass(frozen=True, kw_only=True)
class FabricProfile(Profile):
    """Choices for plans of whole fabrics. `what`: one line for people."""

    name: str = field(kw_only=False)
    what: str = field(kw_only=False)
    consumers: tuple[int, ...] = (1, 1, 2, 3)
    bad: tuple[float, ...] = (0.0, 0.0, 0.1, 0.4)
    happenings: tuple[int, ...] = (0, 1, 2, 4, 6)
    anywhere: tuple[str, ...] = _ANYWHERE
    between: tuple[str, ...] = _BETWEEN
    copied: tuple[str, ...] = ("backfill", "lose_copy")
    tamper_share: float = 0.03
    slowness: tuple[float, ...] = (0.5, 1.0, 1.0, 20.0, 200.0)
    regions: tuple[int, ...] = (1, 2, 2, 3, 3)
    quorum_share: float = 0.35
    retention_share: float = 0.1
    lanes: tuple[int, ...] = (1, 1, 2, 4)
    guarantees: tuple[Guarantee, ...] = (
        Guarantee.AT_LEAST_ONCE,
        Guarantee.EXACTLY_ONCE,
        Guarantee.AT_MOST_ONCE,
    )
    delivers: tuple[str, ...] = ("origin", "origin", "one", "everywhere")
    subscriptions: tuple[int, ...] = (1, 1, 2)
    publishes: tuple[int, ...] = (2, 4, 8, 14)
    torn_share: float = 0.0
    together: tuple[float, ...] = (0.0,)
    """Share of the producers' calls that come at the moment of the one before."""
    failover_share: float = 0.5
    express: bool = False
    clones: bool = False
    concurrency: tuple[int, ...] = (1,)
    keys: tuple[int, ...] = (1, 2, 4, 6)
    wanted: tuple[str, ...] = ("placed",)
    """Types that a subscription wants that does not want everything."""
    wanted_share: float = 0.3
    bounds: tuple[dict[str, int], ...] = ()
    invoices: tuple[int, ...] = ()
    """Lanes of a second stream, into which handlers publish; none: there is no such stream."""
    declared: bool = False
    by_catalogue: bool = False
    gates: tuple[int, ...] = ()
    """Numbers of subscriptions that hold producers back."""
    clones_share: float = 0.0

    def plan(self, seed: int) -> Plan:
        """The plan of a seed; the same, always."""
        return FabricDraw(self, Random(f"{seed} {self.name}")).plan(seed)


class FabricDraw(Draw):
    """One plan in the making."""

    _profile: FabricProfile

    def __init__(self, profile: FabricProfile, random: Random) -> None:
        super().__init__(profile, random)

    def plan(self, seed: int) -> Plan:
        of, random = self._profile, self._random
        self._steps = Random(f"{seed} steps")
        self._chain = Random(f"{seed} chain")
        self._together = Random(f"{seed} together")
        self._gates = Random(f"{seed} gates")
        self._regions = REGIONS[: random.choice(of.regions)]
        self._durability = "replicated"
        if len(self._regions) == 1:
            self._durability = "regional"
        elif len(self._regions) == 3 and random.random() < of.quorum_share:
            self._durability = "quorum"
        expires = self._durability != "quorum" and random.random() < of.retention_share
        self._seconds = random.choice(of.seconds)
        names = ("billing", "shipping")[: random.choice(of.subscriptions)]
        producers = tuple(random.choice(self._regions) for _ in range(random.choice((1, 2, 2, 3))))
        return Plan(
            seed=seed,
            profile=of.name,
            regions=self._regions,
            lanes=random.choice(of.lanes),
            durability=self._durability,
            subscriptions=self._gated([self._subscription(name) for name in names]),
            producers=producers,
            publishes=self._publishes(len(producers)),
            happenings=self.happenings(seed, expires=expires),
            rates=self.rates() | self._torn(seed),
            retention_days=1 if expires else 0,
            failover=len(self._regions) > 1 and random.random() < of.failover_share,
            shards=random.choice((1, 1, 2)),
            slowness=random.choice(of.slowness),
            express=of.express,
            clones=of.clones or self._gates.random() < of.clones_share,
            bounds=random.choice(of.bounds) if of.bounds else {},
            invoices=self._chain.choice(of.invoices) if of.invoices else 0,
            rivals=self._chain.choice((0, 1, 2)) if of.invoices else 0,
            declared=of.declared,
            by_catalogue=of.by_catalogue,
        )

    def _subscription(self, name: str) -> PlannedSubscription:
        random = self._random
        guarantee = random.choice(self._profile.guarantees)
        if self._durability == "quorum" and guarantee.transactional:
            guarantee = Guarantee.AT_LEAST_ONCE
        return PlannedSubscription(
            name=name,
            guarantee=guarantee,
            order=random.choice(("key", "key", "key", "none")),
            deliver=random.choice(self._profile.delivers),
            on_late=random.choice(("deliver", "deliver", "dead_letter"))
            if guarantee.sets_aside
            else "deliver",
            on_expired=random.choice(("halt", "skip")),
            start=random.choice(("earliest", "earliest", "earliest", "latest")),
            types=self._profile.wanted if random.random() < self._profile.wanted_share else (),
            batch=random.choice((1, 1, 3)),
            immediate=random.choice((0, 0, 2)),
            attempts=random.choice((1, 3, 4)),
            failure_ratio=random.choice((0.5, 0.8, 1.0)),
            parked_keys=random.choice((2, 100, 100)),
            consumers=random.choice(self._profile.consumers),
            concurrency=random.choice(self._profile.concurrency) if len(self._profile.concurrency) > 1 else 1,
            steps=self._steps.random() < _STEPS_SHARE,
            publishes=bool(self._profile.invoices),
            once=bool(self._profile.invoices) and guarantee.may_repeat and self._chain.random() < _ONCE_SHARE,
        )

    def _gated(self, subscriptions: Sequence[PlannedSubscription]) -> tuple[PlannedSubscription, ...]:
        """Have some of the subscriptions hold producers back."""
        number = self._gates.choice(self._profile.gates) if self._profile.gates else 0
        return tuple(
            replace(own, backpressure=self._backpressure(own)) if index < number else own
            for index, own in enumerate(subscriptions)
        )

    def _backpressure(self, own: PlannedSubscription) -> PlannedBackpressure:
        elsewhere = own.deliver == "one" and len(self._regions) > 1
        return PlannedBackpressure(
            seconds=10 if elsewhere else self._gates.choice((5, 10, 60)),
            events_min=self._gates.choice((1, 1, 2, 4, 16)),
            while_paused=self._gates.choice(("pass", "pass", "hold")),
        )

    def _publishes(self, producers: int) -> tuple[Publish, ...]:
        random = self._random
        keys = "abcdef"[: random.choice(self._profile.keys)]
        bad = random.choice(self._profile.bad)
        hows = ["many", "many", "one"]
        hows += ["acks2"] if self._durability == "replicated" else []
        hows += ["once", "transaction"] if self._durability != "quorum" else []
        together = self._together.choice(self._profile.together)
        made, number = list[Publish](), 0
        for _ in range(random.choice(self._profile.publishes)):
            events: list[PlannedEvent] = []
            for _ in range(random.choice((1, 1, 2, 4))):
                number += 1
                conduct = self._conduct() if random.random() < bad else FINE
                type_ = random.choice(("placed", "placed", "paid"))
                events.append(PlannedEvent(f"e{number}", random.choice(keys), type_, conduct))
            after_seconds = round(random.uniform(0, self._seconds), 3)
            if made and self._together.random() < together:
                after_seconds = made[-1].after_seconds
            made.append(
                Publish(after_seconds, random.randrange(producers), tuple(events), random.choice(hows))
            )
        return tuple(made)

    def _conduct(self) -> Conduct:
        random = self._random
        match random.randrange(6):
            case 0:
                return Conduct(crashes=random.choice((1, 2, 12)))
            case 1:
                return Conduct(hangs=1)
            case 2:
                return Conduct(permanent=True)
            case 3:
                return Conduct(fails=100)
            case _:
                return Conduct(fails=random.choice((1, 2, 3)))

    def _torn(self, seed: int) -> dict[str, float]:
        """Draw how often reads see transactions item by item, in seeds drawn separately: all else stays the same."""
        random = Random(f"{seed} torn")
        return {"torn": random.choice(_TORN_RATES)} if random.random() < self._profile.torn_share else {}
