"""Drawing of plans for the model of seals: a seed and a profile decide everything in them.

Each schedule draws how likely each thing is, too: some lose no doorbell, some crash often, some hardly replicate.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.simulation.models.seals_plans import Plan, Start
from tests.simulation.models.seals_values import Batch, Event, Place, Region, root_of

Drawer = Callable[[random.Random, Sequence[Region]], tuple[str, Start]]
GENERATIONS_MAX = 2
KEYS = 4


def split(generator: random.Random, regions: Sequence[Region]) -> tuple[str, Start]:
    origin, key = generator.choice(["A", "A", "A", *regions]), generator.randrange(KEYS)
    return "split", lambda rules, world: rules.split(world, origin, key, GENERATIONS_MAX)


def publisher(
    generator: random.Random, regions: Sequence[Region], batches: Sequence[Batch]
) -> tuple[str, Start]:
    home = regions if generator.random() < 0.8 else regions[::-1]
    if generator.random() < 0.25:
        return "transact", lambda rules, world: rules.transact(world, home[0], batches[:2])
    return "publish", lambda rules, world: rules.publish(world, home, batches)


def handover(number: int) -> Drawer:
    """Hand lanes over to the one Region and the other by turns."""

    def draw(generator: random.Random, regions: Sequence[Region]) -> tuple[str, Start]:
        region, origin = "BA"[number % 2], generator.choice("AAB")
        return "hand over", lambda rules, world: rules.hand_over(world, region, origin)

    return draw


def replay(generator: random.Random, regions: Sequence[Region]) -> tuple[str, Start]:
    lane, region = root_of("A"), generator.choice(regions)
    for _ in range(generator.choice([0, 0, 0, 1, 2])):
        lane = generator.choice(lane.children)
    place = Place(lane, generator.randrange(6))
    return "replay", lambda rules, world: rules.replay(world, region, place)


def replay_of_all(region: Region) -> Drawer:
    """Replay a whole tree in a Region."""

    def draw(generator: random.Random, regions: Sequence[Region]) -> tuple[str, Start]:
        place = Place(root_of("A"), generator.randrange(2))
        return "replay", lambda rules, world: rules.replay(world, region, place)

    return draw


def loss_of(region: Region) -> Drawer:
    """Lose a Region; the other one is back, if it was lost."""

    def draw(generator: random.Random, regions: Sequence[Region]) -> tuple[str, Start]:
        return "lose", lambda rules, world: rules.lose(world, region)

    return draw


def handover_to(region: Region) -> Drawer:
    """Hand the lanes of A over to a Region."""

    def draw(generator: random.Random, regions: Sequence[Region]) -> tuple[str, Start]:
        return "hand over", lambda rules, world: rules.hand_over(world, region, "A")

    return draw


def decision(generator: random.Random, regions: Sequence[Region]) -> tuple[str, Start]:
    region, key, redrive = generator.choice(regions), generator.randrange(KEYS), generator.random() < 0.5
    return "decide", lambda rules, world: rules.decide(world, region, "A", key, redrive=redrive)


def sweep(generator: random.Random, regions: Sequence[Region]) -> tuple[str, Start]:
    region = generator.choice(regions)
    return "sweep", lambda rules, world: rules.sweep(world, region, root_of("A"))


def reconciliation(generator: random.Random, regions: Sequence[Region]) -> tuple[str, Start]:
    region = generator.choice(regions)
    return "reconcile", lambda rules, world: rules.reconcile(world, region, "A")


@dataclass(frozen=True, slots=True)
class Profile:
    """A distribution of plans. `weights`: those of which one is drawn instead of the default's. `early`: in order."""

    regions: Sequence[int] = (1, 2, 2)
    publishers: Sequence[int] = (1, 2, 3)
    splits: Sequence[int] = (0, 1, 1, 1, 2, 2, 3)
    handovers: Sequence[int] = (0, 1, 1, 2, 3)
    operators: Sequence[Drawer] = (replay, decision, decision, sweep, reconciliation)
    operations: Sequence[int] = (0, 0, 1, 2, 4)
    weights: dict[str, Sequence[float]] = field(default_factory=dict)
    is_ordered: bool = False
    begins_split: Region = ""
    """A lane with events is split, and its children have events, before anything else happens."""
    then: Sequence[Drawer] = ()
    """Processes that start behind all that, in this order."""


_WEIGHTS: dict[str, Sequence[float]] = {
    "start": (0.3, 1, 3),
    "step": (10,),
    "fail": (0, 0.5, 4),
    "lost reply": (0, 0, 0.3),
    "lost request": (0, 0, 0.3),
    "crash": (0, 0.1, 0.4),
    "reappear": (0, 0.1, 0.5),
    "stall": (0, 0.1, 0.5),
    "receive": (1, 5),
    "relay": (1, 5),
    "lose": (0, 0, 0.5),
    "forget": (0, 0, 0.1),
    "replicate": (0.1, 0.5, 2),
    "timer": (0.3, 2),
    "expire": (0, 0, 1),
}

_IN_PARTS: dict[str, Sequence[float]] = {
    "start": (0.3, 1),
    "fail": (0, 0, 0.5),
    "lost reply": (0,),
    "lost request": (0,),
    "crash": (0, 0.1),
    "reappear": (0,),
    "stall": (0,),
    "lose": (0,),
    "replicate": (0.02, 0.1, 0.5, 2),
    "receive": (0.3, 1),
    "expire": (0,),
}


def publishing(*batches: Batch, origin: Region = "A") -> tuple[str, Start]:
    return "publish", lambda rules, world: rules.publish(world, (origin,), batches)


def splitting(key: int, origin: Region = "A") -> tuple[str, Start]:
    return "split", lambda rules, world: rules.split(world, origin, key, GENERATIONS_MAX)


def _batch(number: int, *keys: int) -> Batch:
    return Batch(number, tuple(Event(number + index, key, True) for index, key in enumerate(keys)))


def split_lane(origin: Region, batches: int) -> list[tuple[str, Start]]:
    """Have a lane with so many batches split, and its children have an event or two."""
    before = [publishing(_batch(900 + 10 * number, 0, 1), origin=origin) for number in range(batches)]
    return [*before, splitting(0, origin), publishing(_batch(1000, 0, 1, 2), origin=origin)]


PROFILES = {
    "default": Profile(),
    # Replays across seals, with keys that are parked meanwhile.
    "replays": Profile(
        regions=(1,),
        splits=(1, 1, 2),
        operators=(replay, replay, replay, decision),
        operations=(2, 3, 4),
        weights={"start": (0.3, 0.6), "fail": (0.5, 2), "crash": (0, 0.1), "relay": (5,), "receive": (5,)},
        is_ordered=True,
    ),
    # Handovers while little is replicated: of a tree, some lanes' state is here, and that of others is not or is old.
    "takeovers": Profile(
        regions=(2,),
        publishers=(1, 2),
        splits=(1, 1, 2),
        operators=(handover(0), handover(1), replay, replay, loss_of("A"), loss_of("B"), loss_of("")),
        operations=(2, 3, 4),
        handovers=(1,),
        weights={
            "start": (0.2, 0.4),
            "fail": (0, 0.5, 2),
            "replicate": (0.03, 0.1, 0.3),
            "relay": (5,),
            "receive": (5,),
            "expire": (0,),
        },
        is_ordered=True,
    ),
    # A tree is replayed, and handed over before all of that is replicated.
    "handed over": Profile(
        regions=(2,),
        publishers=(1,),
        splits=(0,),
        handovers=(0,),
        operations=(0,),
        weights=_IN_PARTS,
        is_ordered=True,
        begins_split="A",
        then=(replay_of_all("A"), loss_of("A"), handover_to("B")),
    ),
    # It is handed over, replayed there, and handed back before all of that is replicated.
    "handed back": Profile(
        regions=(2,),
        publishers=(1,),
        splits=(0,),
        handovers=(0,),
        operations=(0,),
        weights=_IN_PARTS,
        is_ordered=True,
        begins_split="A",
        then=(handover_to("B"), replay_of_all("B"), loss_of("B"), handover_to("A")),
    ),
    # Batches without a reply that go on in another Region, whose tree has another shape.
    "copies": Profile(
        regions=(2,),
        splits=(1, 2, 3),
        handovers=(0, 0, 1),
        operations=(0,),
        weights={"lost reply": (3, 6), "lost request": (3, 6), "fail": (0,), "crash": (0.1,)},
    ),
    # The tree of that Region is split already, and a publisher may die between the parts of a batch.
    "parts": Profile(
        regions=(2,),
        publishers=(1, 2),
        splits=(0, 0, 1),
        handovers=(0, 0, 1),
        operations=(0,),
        weights={"lost reply": (6,), "lost request": (6,), "fail": (0,), "crash": (0.5, 1)},
        begins_split="B",
    ),
    # Parked keys in every state while lanes are split, by runs that die and come back.
    "parked": Profile(
        regions=(1,),
        splits=(1, 2),
        operators=(decision,),
        operations=(2, 4),
        weights={
            "fail": (4, 8),
            "crash": (0.1,),
            "reappear": (1, 3),
            "stall": (0.5, 1.5),
            "timer": (2, 4),
        },
    ),
}


def drawn(seed: int, profile: Profile) -> Plan:
    """Draw a plan."""
    generator = random.Random(seed)
    choose = generator.choice
    regions = ("A", "B")[: choose(profile.regions)]
    starts = publications(generator, regions, choose(profile.publishers))
    starts += [split(generator, regions) for _ in range(choose(profile.splits))]
    if profile.is_ordered:
        generator.shuffle(starts)
    handovers = choose(profile.handovers) if len(regions) > 1 else 0
    starts += [handover(number)(generator, regions) for number in range(handovers)]
    starts += [choose(profile.operators)(generator, regions) for _ in range(choose(profile.operations))]
    if not profile.is_ordered:
        generator.shuffle(starts)
    starts += [draw(generator, regions) for draw in profile.then]
    weights = {name: choose(profile.weights.get(name, values)) for name, values in _WEIGHTS.items()}
    return Plan(
        regions,
        starts,
        weights,
        steps_max=choose([80, 160, 300]),
        has_copies=len(regions) > 1,
        prelude=split_lane(profile.begins_split, choose([1, 2, 3, 4])) if profile.begins_split else (),
    )


def publications(
    generator: random.Random, regions: Sequence[Region], publishers: int
) -> list[tuple[str, Start]]:
    """Draw publishers, each with batches of its own."""
    starts: list[tuple[str, Start]] = []
    for number in range(100, 100 * publishers + 1, 100):
        batches = list[Batch]()
        for _ in range(generator.choice([1, 2, 3, 4])):
            keys = [generator.randrange(KEYS) for _ in range(generator.choice([1, 1, 2, 3]))]
            events = (Event(number + index, key, generator.random() < 0.85) for index, key in enumerate(keys))
            batches.append(Batch(number + 1, tuple(events)))
            number += len(keys)
        starts.append(publisher(generator, regions, batches))
    return starts


def bounded(
    starts: Sequence[tuple[str, Start]],
    may_happen: str,
    *,
    regions: Sequence[Region] = ("A",),
    preemptions_max: int = 0,
    faults_max: int = 0,
) -> Plan:
    """Make a plan to be explored: of all that may happen, only this, and faults and preemptions up to a bound."""
    weights = dict.fromkeys(_WEIGHTS, 0.0) | dict.fromkeys(may_happen.split(","), 1.0)
    return Plan(
        tuple(regions),
        [*starts],
        weights,
        steps_max=1_000_000,
        faults_max=faults_max,
        preemptions_max=preemptions_max,
    )


_ONE = [publishing(_batch(100, 0, 1)), splitting(0)]
_TWO = [publishing(_batch(100, 0, 1), _batch(102, 0)), splitting(0)]
_MAY_HAPPEN = "start,step,receive,relay"
BOUNDED = {
    "a batch that spans the children, and a split": bounded(_ONE, _MAY_HAPPEN),
    "a process that is stopped once": bounded(_ONE, _MAY_HAPPEN, preemptions_max=1),
    "a fault": bounded(_ONE, f"{_MAY_HAPPEN},crash,lost reply,lost request,reappear", faults_max=1),
    "a key that is parked": bounded(_ONE, f"{_MAY_HAPPEN},fail,timer"),
    "another batch": bounded(_TWO, _MAY_HAPPEN),
}
