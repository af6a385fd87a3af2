"""Profiles: how a seed draws its plan. Each says what it is for."""

from collections.abc import Callable
from random import Random
from typing import Final

from eventfabric.simulation.plan import (
    FINE,
    Conduct,
    Happening,
    Plan,
    PlannedEvent,
    PlannedSubscription,
    Publish,
)

REGIONS: Final = ("us-east-1", "eu-west-1", "ap-south-1")
_FAULTS: Final = (
    "crash", "lost_reply", "lost_request", "throttle", "slow", "stale", "stall", "resend", "bell_lost", "bell_late",
    "bell_kept", "record_again", "lag", "skew",
)  # fmt: skip
_GUARANTEES: Final = ("at_least_once", "exactly_once", "at_most_once")


class Profile:
    """What plans look like. `what`: in a line, for people; `draw`: the plan of a seed."""

    def __init__(self, name: str, what: str, draw: Callable[[Random, int], Plan]) -> None:
        self.name = name
        self.what = what
        self._draw = draw

    def plan(self, seed: int) -> Plan:
        """The plan of a seed; the same, always."""
        return self._draw(Random(f"{seed} {self.name}"), seed)


def _default(random: Random, seed: int) -> Plan:
    """Everything that may happen, some of it in each seed."""
    regions = REGIONS[: random.choice((1, 2, 2, 3, 3))]
    durability = "replicated"
    if len(regions) == 1:
        durability = "regional"
    elif len(regions) == 3 and random.random() < 0.35:
        durability = "quorum"
    retention_days = 1 if durability != "quorum" and random.random() < 0.1 else 0
    subscriptions = tuple(
        _subscription(random, name, durability, regions)
        for name in ("billing", "shipping")[: random.choice((1, 1, 2))]
    )
    seconds = random.choice((20.0, 120.0, 900.0))
    producers = tuple(random.choice(regions) for _ in range(random.choice((1, 2, 2, 3))))
    return Plan(
        seed=seed,
        profile="default",
        regions=regions,
        lanes=random.choice((1, 1, 2, 4)),
        durability=durability,
        subscriptions=subscriptions,
        producers=producers,
        publishes=_publishes(random, seconds, producers, durability),
        happenings=_happenings(random, seconds, regions, durability, retention_days),
        rates=_rates(random, _FAULTS),
        retention_days=retention_days,
        failover=len(regions) > 1 and random.random() < 0.5,
        shards=random.choice((1, 1, 2)),
        slowness=random.choice((0.5, 1.0, 1.0, 20.0, 200.0)),
    )


def _subscription(
    random: Random, name: str, durability: str, regions: tuple[str, ...]
) -> PlannedSubscription:
    guarantee = random.choice(_GUARANTEES)
    if durability == "quorum" and guarantee == "exactly_once":
        guarantee = "at_least_once"
    return PlannedSubscription(
        name=name,
        guarantee=guarantee,
        order=random.choice(("key", "key", "key", "none")),
        deliver=random.choice(("origin", "origin", "one", "everywhere")),
        on_late="deliver"
        if guarantee == "at_most_once"
        else random.choice(("deliver", "deliver", "dead_letter")),
        on_expired=random.choice(("halt", "skip")),
        start=random.choice(("earliest", "earliest", "earliest", "latest")),
        types=("placed",) if random.random() < 0.3 else (),
        batch=random.choice((1, 1, 3)),
        immediate=random.choice((0, 0, 2)),
        attempts=random.choice((1, 3, 4)),
        failure_ratio=random.choice((0.5, 0.8, 1.0)),
        parked_keys=random.choice((2, 100, 100)),
        consumers=random.choice((1, 1, 2, 3)),
    )


def _publishes(
    random: Random, seconds: float, producers: tuple[str, ...], durability: str
) -> tuple[Publish, ...]:
    keys = "abcdef"[: random.choice((1, 2, 4, 6))]
    bad = random.choice((0.0, 0.0, 0.1, 0.4))
    made, number = list[Publish](), 0
    for _ in range(random.choice((2, 4, 8, 14))):
        events: list[PlannedEvent] = []
        for _ in range(random.choice((1, 1, 2, 4))):
            number += 1
            conduct = _conduct(random) if random.random() < bad else FINE
            type_ = random.choice(("placed", "placed", "paid"))
            events.append(PlannedEvent(f"e{number}", random.choice(keys), type_, conduct))
        hows = ["many", "many", "one"]
        hows += ["acks2"] if durability == "replicated" else []
        hows += ["once", "transaction"] if durability != "quorum" else []
        producer = random.randrange(len(producers))
        made.append(
            Publish(round(random.uniform(0, seconds), 3), producer, tuple(events), random.choice(hows))
        )
    return tuple(made)


def _conduct(random: Random) -> Conduct:
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


def _happenings(
    random: Random, seconds: float, regions: tuple[str, ...], durability: str, retention_days: int
) -> tuple[Happening, ...]:
    whats = [
        "deploy",
        "mend",
        "split",
        "reconcile",
        "reconcile",
        "clock",
        "outage",
        "redrive",
        "discard",
        "replay",
        "pause",
    ]
    if len(regions) > 1:
        whats += ["region_loss", "region_loss", "cut", "failover", "failover", "failback"]
        whats += ["backfill", "lose_copy"] if durability == "replicated" else []
    made: list[Happening] = []
    for _ in range(random.choice((0, 1, 2, 4, 6))):
        what, region = random.choice(whats), random.choice(regions)
        other = random.choice([name for name in regions if name != region] or [""])
        number = random.randrange(4)
        if what == "clock":
            number = random.choice((-1, 1)) * random.choice((700, 5_000, 90_000))
        made.append(
            Happening(
                round(random.uniform(0, 1.2 * seconds), 3), what, region, other,
                round(random.uniform(1, max(10, seconds)), 1), number,
            )
        )  # fmt: skip
    if retention_days:
        made.append(Happening(seconds, "days_pass", regions[0], number=random.choice((1, 2))))
    if len(regions) > 1 and durability == "replicated" and random.random() < 0.03:
        region = random.choice(regions)
        made.append(
            Happening(round(random.uniform(0, seconds), 3), "change_copy", region, number=random.randrange(9))
        )
    return tuple(sorted(made, key=lambda one: one.after_seconds))


def _rates(random: Random, faults: tuple[str, ...]) -> dict[str, float]:
    if random.random() < 0.1:
        return {}
    rates: dict[str, float] = {}
    for fault in faults:
        if random.random() < 0.35:
            rates[fault] = round(10 ** random.uniform(-2.5, -0.9), 4)
    if "stall" in rates:
        rates["stall"] = min(rates["stall"], 0.02)
    return rates


PROFILES: Final = {one.name: one for one in (Profile("default", "everything that may happen", _default),)}
