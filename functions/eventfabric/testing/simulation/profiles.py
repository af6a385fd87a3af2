"""Profiles: how a seed draws its plan. Each says what it is for; `default` holds everything that may happen."""

from dataclasses import dataclass
from random import Random
from typing import Final

from eventfabric.testing.simulation.plan import (
    FINE,
    Conduct,
    Happening,
    Plan,
    PlannedEvent,
    PlannedSubscription,
    Publish,
)

REGIONS: Final = ("us-east-1", "eu-west-1", "ap-south-1")
FAULTS: Final = (
    "crash", "lost_reply", "lost_request", "throttle", "slow", "stale", "stall", "resend", "bell_lost", "bell_late",
    "bell_kept", "bell_refused", "record_again", "lag", "skew", "conflict",
)  # fmt: skip
"""Every fault that has a rate; see process.py, functions.py, network.py and trouble.py for what each does."""
HICCUPS: Final = ("conflict", "throttle", "lost_reply", "lost_request")
"""Faults of a single call, after which the next one may well succeed."""
_STEPS_SHARE: Final = 0.25
_TORN_RATES: Final = (0.1, 0.5)
_RATE_EXPONENTS: Final = (-2.5, -0.9)
_ANYWHERE: Final = (
    "deploy", "mend", "split", "reconcile", "reconcile", "clock", "outage", "redrive", "redrive", "discard", "replay",
    "replay", "pause", "throttled", "no_timers", "no_doorbells", "settings", "edit", "prove",
)  # fmt: skip
_BETWEEN: Final = ("region_loss", "region_loss", "silence", "cut", "failover", "failover", "failback")
_COPIED: Final = ("backfill", "lose_copy")


@dataclass(frozen=True)
class Profile:
    """What plans look like: a seed picks among each field's values. `what`: in a line, for people.

    Shares are of the seeds: `quiet_share` have no faults, `fault_share` of the others each fault, and all of them those
    of `always`; `bad` is the share of events that handlers do not simply handle. `first` happens to each Region at
    the beginning.
    """

    name: str
    what: str
    regions: tuple[int, ...] = (1, 2, 2, 3, 3)
    quorum_share: float = 0.35
    retention_share: float = 0.1
    lanes: tuple[int, ...] = (1, 1, 2, 4)
    guarantees: tuple[str, ...] = ("at_least_once", "exactly_once", "at_most_once")
    delivers: tuple[str, ...] = ("origin", "origin", "one", "everywhere")
    subscriptions: tuple[int, ...] = (1, 1, 2)
    consumers: tuple[int, ...] = (1, 1, 2, 3)
    seconds: tuple[float, ...] = (20.0, 120.0, 900.0)
    publishes: tuple[int, ...] = (2, 4, 8, 14)
    bad: tuple[float, ...] = (0.0, 0.0, 0.1, 0.4)
    faults: tuple[str, ...] = FAULTS
    always: tuple[str, ...] = ()
    quiet_share: float = 0.1
    fault_share: float = 0.35
    happenings: tuple[int, ...] = (0, 1, 2, 4, 6)
    anywhere: tuple[str, ...] = _ANYWHERE
    between: tuple[str, ...] = _BETWEEN
    copied: tuple[str, ...] = _COPIED
    tamper_share: float = 0.03
    days_apart_share: float = 0.5
    torn_share: float = 0.0
    failover_share: float = 0.5
    slowness: tuple[float, ...] = (0.5, 1.0, 1.0, 20.0, 200.0)
    stall_rate_max: float = 0.02
    express: bool = False
    clones: bool = False
    concurrency: tuple[int, ...] = (1,)
    keys: tuple[int, ...] = (1, 2, 4, 6)
    bounds: tuple[dict[str, int], ...] = ()
    first: tuple[str, ...] = ()

    def plan(self, seed: int) -> Plan:
        """The plan of a seed; the same, always."""
        return Draw(self, Random(f"{seed} {self.name}")).plan(seed)


class Draw:
    """One plan in the making."""

    def __init__(self, profile: Profile, random: Random) -> None:
        self._of = profile
        self._random = random

    def plan(self, seed: int) -> Plan:
        of, random = self._of, self._random
        self._steps = Random(f"{seed} steps")
        self._seed = seed
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
            subscriptions=tuple(self._subscription(name) for name in names),
            producers=producers,
            publishes=self._publishes(len(producers)),
            happenings=self.happenings(expires=expires),
            rates=self.rates() | self._torn(seed),
            retention_days=1 if expires else 0,
            failover=len(self._regions) > 1 and random.random() < of.failover_share,
            shards=random.choice((1, 1, 2)),
            slowness=random.choice(of.slowness),
            express=of.express,
            clones=of.clones,
            bounds=random.choice(of.bounds) if of.bounds else {},
        )

    def _subscription(self, name: str) -> PlannedSubscription:
        random = self._random
        guarantee = random.choice(self._of.guarantees)
        if self._durability == "quorum" and guarantee == "exactly_once":
            guarantee = "at_least_once"
        sets_aside = guarantee != "at_most_once"
        return PlannedSubscription(
            name=name,
            guarantee=guarantee,
            order=random.choice(("key", "key", "key", "none")),
            deliver=random.choice(self._of.delivers),
            on_late=random.choice(("deliver", "deliver", "dead_letter")) if sets_aside else "deliver",
            on_expired=random.choice(("halt", "skip")),
            start=random.choice(("earliest", "earliest", "earliest", "latest")),
            types=("placed",) if random.random() < 0.3 else (),
            batch=random.choice((1, 1, 3)),
            immediate=random.choice((0, 0, 2)),
            attempts=random.choice((1, 3, 4)),
            failure_ratio=random.choice((0.5, 0.8, 1.0)),
            parked_keys=random.choice((2, 100, 100)),
            consumers=random.choice(self._of.consumers),
            concurrency=random.choice(self._of.concurrency) if len(self._of.concurrency) > 1 else 1,
            steps=self._steps.random() < _STEPS_SHARE,
        )

    def _publishes(self, producers: int) -> tuple[Publish, ...]:
        random = self._random
        keys = "abcdef"[: random.choice(self._of.keys)]
        bad = random.choice(self._of.bad)
        hows = ["many", "many", "one"]
        hows += ["acks2"] if self._durability == "replicated" else []
        hows += ["once", "transaction"] if self._durability != "quorum" else []
        made, number = list[Publish](), 0
        for _ in range(random.choice(self._of.publishes)):
            events: list[PlannedEvent] = []
            for _ in range(random.choice((1, 1, 2, 4))):
                number += 1
                conduct = self._conduct() if random.random() < bad else FINE
                type_ = random.choice(("placed", "placed", "paid"))
                events.append(PlannedEvent(f"e{number}", random.choice(keys), type_, conduct))
            after_seconds = round(random.uniform(0, self._seconds), 3)
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

    def happenings(self, *, expires: bool) -> tuple[Happening, ...]:
        of, random, regions = self._of, self._random, self._regions
        whats = list(of.anywhere)
        if len(regions) > 1:
            whats += of.between
            whats += of.copied if self._durability == "replicated" else ()
        made = [self._happening(random.choice(whats)) for _ in range(random.choice(of.happenings)) if whats]
        made += [
            Happening(0.0, what, region, number=self._seed % 4) for what in of.first for region in regions
        ]
        if expires:
            what = (
                "days_apart"
                if len(regions) > 1 and of.days_apart_share and random.random() < of.days_apart_share
                else "days_pass"
            )
            other = regions[1] if len(regions) > 1 else ""
            made.append(Happening(self._seconds, what, regions[0], other, number=random.choice((1, 2))))
        if len(regions) > 1 and self._durability == "replicated" and random.random() < of.tamper_share:
            made.append(self._happening("change_copy"))
        return tuple(sorted(made, key=lambda one: one.after_seconds))

    def _happening(self, what: str) -> Happening:
        random, region = self._random, self._random.choice(self._regions)
        other = random.choice([name for name in self._regions if name != region] or [""])
        number = random.randrange(4)
        if what == "clock":
            number = random.choice((-1, 1)) * random.choice((700, 5_000, 90_000))
        after_seconds = round(random.uniform(0, 1.2 * self._seconds), 3)
        lasts_seconds = round(random.uniform(1, max(10, self._seconds)), 1)
        return Happening(after_seconds, what, region, other, lasts_seconds, number)

    def _torn(self, seed: int) -> dict[str, float]:
        """How often reads see transactions item by item: in seeds of their own, so that all else stays as it was."""
        random = Random(f"{seed} torn")
        return {"torn": random.choice(_TORN_RATES)} if random.random() < self._of.torn_share else {}

    def rates(self) -> dict[str, float]:
        random = self._random
        if random.random() < self._of.quiet_share:
            return {}
        rates = {
            fault: round(10 ** random.uniform(*_RATE_EXPONENTS), 4)
            for fault in self._of.faults
            if fault in self._of.always or random.random() < self._of.fault_share
        }
        if "stall" in rates:
            rates["stall"] = min(rates["stall"], self._of.stall_rate_max)
        return rates


_ALL: Final = (
    Profile("default", "everything that may happen, some of it in each seed", torn_share=0.3),
    Profile(
        "fast", "as default, with every short cut: producers ring by themselves, keys are attempted side by side",
        express=True, concurrency=(1, 2, 8), torn_share=0.3,
    ),
    Profile(
        "calm", "nothing fails but events: what is slow or held up shows",
        regions=(1, 2), quorum_share=0, retention_share=0, bad=(0.0, 0.2, 0.4), faults=(), happenings=(0,),
        tamper_share=0, slowness=(0.5, 1.0),
    ),
    Profile(
        "refused", "queues refuse doorbells, and nothing else fails",
        regions=(1, 2), quorum_share=0, retention_share=0, faults=("bell_refused",), fault_share=1, quiet_share=0,
        bad=(0.0,), happenings=(0,), tamper_share=0, slowness=(0.5, 1.0),
    ),
    Profile(
        "hiccups", "calls fail for a moment, and nothing else: no lane is held up by that for long",
        regions=(1, 2), quorum_share=0, retention_share=0, bad=(0.0,), faults=HICCUPS, fault_share=0.6, quiet_share=0,
        happenings=(0,), tamper_share=0, slowness=(0.5, 1.0), seconds=(120.0, 900.0), publishes=(8, 14),
    ),
    Profile(
        "copies", "producers that are copies of one process, forked or from a snapshot, with the same random numbers",
        clones=True, copied=(), regions=(1, 1, 2), quorum_share=0, retention_share=0, publishes=(8, 14), bad=(0.0,),
        faults=("lost_reply", "lost_request", "crash", "conflict", "lag"), fault_share=0.5, happenings=(0, 1),
        anywhere=("reconcile",), between=("silence", "cut"), tamper_share=0, slowness=(1.0, 20.0), torn_share=0.3,
    ),
    Profile(
        "hours", "tables, partitions and queues that refuse for hours, outages as long",
        regions=(1, 2), retention_share=0, bad=(0.1, 0.4), faults=("conflict", "throttle", "lost_reply", "lag"),
        fault_share=0.3, seconds=(7_200.0, 20_000.0), publishes=(8, 14), happenings=(1, 2, 4), tamper_share=0,
        anywhere=(
            "throttled", "throttled", "no_timers", "no_timers", "no_doorbells", "silent_queues", "silent_queues",
            "outage", "prove", "settings",
        ),
        between=("cut", "silence", "failover"), copied=(), slowness=(1.0, 20.0),
    ),
    Profile(
        "decisions", "operators who decide, prove, replay and hand over, one after another",
        regions=(1, 2, 2, 3), quorum_share=0.2, retention_share=0, bad=(0.4, 0.7), publishes=(4, 8),
        faults=("lag", "crash", "lost_reply", "conflict"), fault_share=0.3, happenings=(4, 6, 8),
        anywhere=("redrive", "redrive", "edit", "discard", "discard_all", "pause", "prove", "settings", "mend"),
        between=("failover", "failover", "failback", "decide_paused", "decide_paused"),
        copied=(), tamper_share=0, slowness=(1.0, 20.0), torn_share=0.5,
    ),
    Profile(
        "races", "several consumers of few lanes, with doorbells again and machines that stand still",
        regions=(1,), lanes=(1,), subscriptions=(1,), consumers=(3,), retention_share=0, seconds=(900.0, 3000.0),
        publishes=(8, 14), stall_rate_max=0.1,
        bad=(0.1, 0.4), faults=("stall", "slow", "stale", "bell_kept", "lost_reply", "resend"), fault_share=0.7,
        happenings=(0, 2, 4), anywhere=("redrive", "replay", "reconcile"), slowness=(1.0, 200.0), torn_share=0.3,
    ),
    Profile(
        "quorum", "state that three Regions share, without transactions, and several consumers",
        regions=(3,), quorum_share=1, lanes=(1,), subscriptions=(1,), consumers=(3,), retention_share=0,
        delivers=("origin", "one"), seconds=(900.0, 3000.0), publishes=(8, 14), bad=(0.2, 0.5), stall_rate_max=0.1,
        faults=("stall", "slow", "stale", "bell_kept", "lost_reply", "crash"), fault_share=0.6, happenings=(0, 2, 4),
        anywhere=("redrive", "replay", "discard"), between=("failover",), slowness=(1.0, 200.0),
    ),
    Profile(
        "failures", "many events fail, crash or hang; outages and operators",
        regions=(1, 1, 2), quorum_share=0, retention_share=0, bad=(0.2, 0.5, 0.8), tamper_share=0,
        faults=("crash", "bell_kept", "resend"), fault_share=0.3, quiet_share=0.4, happenings=(0, 2, 4),
        anywhere=("outage", "outage", "redrive", "discard", "mend", "pause", "pause"), between=(), copied=(),
        torn_share=0.3,
    ),
    Profile(
        "regions", "Regions lost, cut and late; publishers that go elsewhere",
        regions=(2, 3), quorum_share=0.1, retention_share=0, bad=(0.0, 0.2), failover_share=1,
        faults=("lost_reply", "lost_request", "lag", "crash", "skew"), fault_share=0.6, happenings=(2, 4, 6),
        anywhere=("reconcile",), between=("region_loss", "silence", "silence", "cut", "failover", "failback"),
        slowness=(1.0, 20.0),
    ),
    Profile(
        "handovers", "lanes handed from Region to Region and back",
        regions=(2, 3), quorum_share=0.2, retention_share=0, bad=(0.5, 0.8), delivers=("origin", "one"),
        faults=("lag", "crash", "bell_late"), always=("lag",), fault_share=0.3, quiet_share=0, happenings=(4, 6, 8),
        anywhere=("redrive", "reconcile"), between=("failover", "failover", "failback", "region_loss", "cut"),
        copied=(), slowness=(1.0, 20.0), torn_share=0.5,
    ),
    Profile(
        "torn", "reads that see transactions item by item, while operators decide, replay and reconcile",
        regions=(1, 1, 2), quorum_share=0, retention_share=0, lanes=(1,), subscriptions=(1,), consumers=(2, 3),
        seconds=(10.0, 30.0), publishes=(14, 20), bad=(0.5, 0.8), faults=("bell_kept",), fault_share=0.5,
        happenings=(8, 12, 16), anywhere=("redrive", "discard", "edit", "replay", "replay", "reconcile", "reconcile"),
        between=(), copied=(), tamper_share=0, slowness=(1.0, 20.0), torn_share=1.0,
    ),
    Profile(
        "beginnings", "lanes begin where a replica shows records late and in any order, of a stream that expires",
        regions=(2, 3), quorum_share=0, retention_share=1, lanes=(1,), delivers=("everywhere", "one"),
        faults=("lag", "slow", "stale", "lost_reply"), always=("lag", "slow"), quiet_share=0, anywhere=(),
        happenings=(0, 1), between=("cut",), copied=(), tamper_share=0, days_apart_share=0, slowness=(1.0, 20.0, 200.0),
    ),
    Profile(
        "upkeep", "records and doorbells lost or changed; reconciliation and backfill put it right, or say so",
        regions=(2, 3), quorum_share=0, retention_share=0.2, bad=(0.0, 0.1), faults=("bell_lost", "lag", "lost_reply"),
        fault_share=0.6, happenings=(2, 4, 6), anywhere=("reconcile",), between=("cut", "failover"),
        copied=("backfill", "backfill", "lose_copy", "lose_copy"), tamper_share=0.3, slowness=(1.0, 20.0),
    ),
    Profile(
        "denied", "roles and keys changed by mistake for hours: nobody pays for that, and all goes on soon afterwards",
        regions=(1, 1, 2), retention_share=0, bad=(0.0, 0.1), faults=("conflict", "lost_reply", "lag"),
        fault_share=0.3, quiet_share=0.5, seconds=(3_600.0, 15_000.0), publishes=(8, 14), happenings=(1, 2, 3),
        tamper_share=0, anywhere=("denied", "denied", "denied", "throttled", "no_timers", "producer_clock"),
        between=("cut",), copied=(), slowness=(1.0, 20.0),
    ),
    Profile(
        "rests", "keys in which more events wait than are listed, and little is read at a time",
        regions=(1, 1, 2), retention_share=0, quorum_share=0.2, lanes=(1, 2), keys=(1, 2), bad=(0.2, 0.5),
        publishes=(8, 14), faults=("lost_reply", "crash", "conflict"), fault_share=0.3, quiet_share=0.4,
        happenings=(1, 2, 4),
        anywhere=("redrive", "redrive", "discard", "discard_all", "edit", "replay", "reorder", "settings", "prove"),
        between=("failover",), copied=(), tamper_share=0, slowness=(1.0, 20.0),
        bounds=(
            {"PARKED_PLACES_MAX": 1, "WAITING_RECORDS_MAX": 2}, {"PARKED_PLACES_MAX": 2, "WAITING_RECORDS_MAX": 1000},
            {"PARKED_PLACES_MAX": 3, "MARKS_ITEM_LANES": 1},
        ),
    ),
    Profile(
        "signs", "what waits for hours, behind holes, pauses and clocks that are off, while passes tell of it",
        regions=(2, 3, 3), retention_share=0, quorum_share=0, bad=(0.0, 0.1), faults=("lag",), fault_share=0.3,
        seconds=(3_600.0, 9_000.0), publishes=(14, 20), happenings=(2, 3, 4), first=("passes",), tamper_share=0,
        lanes=(1, 2), delivers=("origin", "everywhere", "everywhere"),
        anywhere=("pause", "pause", "producer_clock", "producer_clock"),
        between=("cut", "hole", "hole"), copied=(), slowness=(1.0,),
    ),
    Profile(
        "anew", "tables made anew behind their cursors, which are replayed from the start once that is reported",
        regions=(1, 2), retention_share=0, quorum_share=0, delivers=("origin", "everywhere"), bad=(0.0, 0.1),
        faults=("lost_reply", "lag"), fault_share=0.2, happenings=(0, 1), first=("made_anew",), tamper_share=0,
        anywhere=("reconcile",), between=(), copied=(), publishes=(8, 14), slowness=(1.0, 20.0),
    ),
    Profile(
        "spoilt", "items, state and messages that somebody else put there: each costs its own lane at the most",
        regions=(1, 1, 2), quorum_share=0, retention_share=0.1, lanes=(2, 4), bad=(0.0, 0.2), seconds=(900.0, 3000.0),
        faults=("lost_reply", "crash", "lag"), fault_share=0.3, quiet_share=0.6, happenings=(2, 4, 6),
        anywhere=(
            "far_item", "junk_item", "record_at_the_end", "strange_lane", "garbage", "spoil_state", "reconcile",
            "quarantine",
        ),
        between=(), copied=(), tamper_share=0, days_apart_share=0, slowness=(1.0, 20.0), publishes=(8, 14),
    ),
    Profile(
        "mends", "records lost in their own Region, which operators put back from a backup, or skip",
        regions=(1, 2, 2), quorum_share=0, retention_share=0, lanes=(1, 1, 2), bad=(0.0, 0.1), publishes=(8, 14),
        seconds=(120.0, 900.0), faults=("lost_reply", "crash", "lag", "conflict"), fault_share=0.3, quiet_share=0.4,
        happenings=(1, 2, 3), anywhere=("lose_record", "lose_record", "lose_record", "reconcile", "prove"),
        between=("cut",), copied=(), tamper_share=0, slowness=(1.0, 20.0),
    ),
)  # fmt: skip
PROFILES: Final = {one.name: one for one in _ALL}
"""Every profile, by name."""
