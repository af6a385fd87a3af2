"""Scenarios of credits: what falters, and the rates at which publishers must get on, and must not, meanwhile."""

from collections.abc import Callable
from functools import partial
from math import inf

from tests.simulation.models.credits_rules import Rules
from tests.simulation.models.credits_trial import Size, Trial
from tests.simulation.models.credits_world import AWAY, Consumer, Faults, World

Scenario = Callable[[Size, Rules, int], Trial]


def _healthy(size: Size) -> Callable[[float], float]:
    return lambda now: 2.5 * size.rate


def _falling(size: Size, share: float) -> Callable[[float], float]:
    """A consumer that keeps a share of the usual rate while it falters."""
    return lambda now: share * size.rate if size.begins <= now < size.recovers else 2.5 * size.rate


def _overloaded(
    size: Size, rules: Rules, seed: int, *, share: float, hot: bool = False, faults: Faults | None = None
) -> Trial:
    consumer = Consumer("billing", _falling(size, share), workers=4, page_events=size.page_events)
    world = World(rules, [consumer], lanes=size.lanes, seed=seed, hot=hot, faults=faults)
    trial = Trial(world, size, is_overloaded=True, recovers=size.recovers, backlog_until=size.recovers)
    trial.least.append((0.5 * size.calm, size.calm, 0.9 * size.rate))
    trial.most.append((size.begins + 0.25 * size.fall, size.recovers, 1.2 * share * size.rate))
    return trial


def tenth(size: Size, rules: Rules, seed: int) -> Trial:
    """The consumer falls to a tenth of the usual rate."""
    trial = _overloaded(size, rules, seed, share=0.1)
    trial.add()
    return trial


def half(size: Size, rules: Rules, seed: int) -> Trial:
    """The consumer falls to half of the usual rate: there is enough to share for the index to mean something."""
    trial = _overloaded(size, rules, seed, share=0.5)
    trial.least_index = 0.975
    trial.add()
    return trial


def singly(size: Size, rules: Rules, seed: int) -> Trial:
    """So it does, and commits after each event or two."""
    trial = tenth(size, rules, seed)
    trial.world.consumers[0].page_events = 2
    return trial


def tenth_hot(size: Size, rules: Rules, seed: int) -> Trial:
    """So it does, and half of the events are in one lane."""
    trial = _overloaded(size, rules, seed, share=0.1, hot=True)
    trial.add()
    return trial


def short_lived(size: Size, rules: Rules, seed: int) -> Trial:
    """So it does, and each publisher lives 30 seconds, and is followed by another."""
    trial = _overloaded(size, rules, seed, share=0.1)
    trial.add(lives=30.0)
    return trial


def mixed(size: Size, rules: Rules, seed: int) -> Trial:
    """So it does, and half of the publishers live 30 seconds. Those have fewer events waiting, and get less."""
    trial = _overloaded(size, rules, seed, share=0.1)
    trial.add(number=size.publishers // 2, share=0.5)
    trial.add(number=size.publishers // 2, share=0.5, lives=30.0)
    trial.least_index = 0.75
    return trial


def dead(size: Size, rules: Rules, seed: int) -> Trial:
    """The consumer is dead, and back."""
    trial = _overloaded(size, rules, seed, share=0.0)
    trial.add()
    trial.is_overloaded = False  # nothing is shared
    return trial


def dead_hot(size: Size, rules: Rules, seed: int) -> Trial:
    """So it is, and half of the events are in one lane."""
    trial = _overloaded(size, rules, seed, share=0.0, hot=True)
    trial.add()
    trial.is_overloaded = False
    return trial


def faulty(size: Size, rules: Rules, seed: int) -> Trial:
    """Writes and replies are lost, runs crash before their copy, reads are up to 3 s old; then all is well again."""
    faults = Faults(
        until=size.recovers,
        write_lost=0.2,
        crash_before_write=0.05,
        read_lost=0.2,
        doorbell_again=0.1,
        stale_seconds=3.0,
    )
    trial = Trial(_world(size, rules, seed, faults=faults), size, recovers=size.recovers)
    trial.add()
    return trial


def quiet(size: Size, rules: Rules, seed: int) -> Trial:
    """All publishers stop once what they may append is appended, at the very moment at which a copy is lost."""
    trial = _overloaded(
        size, rules, seed, share=0.02, faults=Faults(until=size.recovers, crash_before_write=0.3)
    )
    trial.least.clear()
    trial.most.clear()
    trial.backlog_until = None
    trial.add()
    trial.is_overloaded = False
    return trial


def _world(size: Size, rules: Rules, seed: int, *, faults: Faults | None = None, history: int = 0) -> World:
    consumer = Consumer("billing", _healthy(size), workers=4, page_events=size.page_events)
    return World(rules, [consumer], lanes=size.lanes, seed=seed, faults=faults, history=history)


def two_gates(size: Size, rules: Rules, seed: int) -> Trial:
    """Two subscriptions gate, and one of them falls to a tenth: the least counts."""
    trial = _overloaded(size, rules, seed, share=0.1)
    trial.world.consumers.append(Consumer("audit", _healthy(size), workers=4, page_events=size.page_events))
    trial.world.begin(trial.world.consumers[1])
    trial.add()
    return trial


def halted(size: Size, rules: Rules, seed: int) -> Trial:
    """A lane is halted: its own keys stop, and no others."""
    trial = Trial(_world(size, rules, seed), size, recovers=size.recovers, backlog_until=size.ends)
    consumer = trial.world.consumers[0]
    consumer.halted, consumer.halts = frozenset({1}), (size.begins, size.recovers)
    others = size.rate * (1 - 1 / size.lanes)
    trial.least.append((size.begins, size.recovers, 0.95 * others))
    trial.most.append((size.begins + 0.25 * size.fall, size.recovers, 1.03 * others))
    trial.add()
    return trial


def replays(size: Size, rules: Rules, seed: int) -> Trial:
    """All lanes are replayed, 1,500 events each: no grant shrinks, and publishers get on at half of the speed."""
    trial = Trial(_world(size, rules, seed, history=2_000), size)
    world = trial.world
    world.consumers[0].latest = True

    def replay() -> None:
        for lane in range(size.lanes):
            world.replay(world.consumers[0], lane, 1_500)

    world.clock.after(size.begins, replay)
    trial.least.append((size.begins + 20, size.begins + 60, 0.8 * size.rate))
    trial.add()
    return trial


def newcomer(size: Size, rules: Rules, seed: int) -> Trial:
    """A subscription is added to a stream with history, and begins with the earliest: publishers get on at half."""
    trial = Trial(_world(size, rules, seed, history=2_000), size)
    trial.world.consumers[0].latest = True
    late = Consumer("audit", _healthy(size), workers=4, page_events=size.page_events, begins=20.0)
    trial.world.consumers.append(late)
    trial.world.begin(late)
    trial.least.append((95.0, 140.0, 0.8 * size.rate))
    trial.add()
    return trial


def latest(size: Size, rules: Rules, seed: int) -> Trial:
    """A subscription with `start = "latest"` is added to a stream with history."""
    trial = Trial(_world(size, rules, seed, history=2_000), size)
    trial.world.consumers[0].latest = True
    late = Consumer(
        "audit", _healthy(size), workers=4, page_events=size.page_events, begins=20.0, latest=True
    )
    trial.world.consumers.append(late)
    trial.world.begin(late)
    trial.least.append((15.0, size.ends, 0.95 * size.rate))
    trial.add()
    return trial


def paused(size: Size, rules: Rules, seed: int) -> Trial:
    """It is paused, which grants without bound; once resumed, publishers get on at half of its speed."""
    trial = Trial(_world(size, rules, seed), size)
    trial.world.consumers[0].pauses = (size.begins, size.recovers)
    trial.least.append((size.begins, size.recovers, 0.95 * size.rate))
    trial.least.append((size.recovers + 10, size.recovers + 35, 0.9 * size.rate))
    trial.add()
    return trial


def held(size: Size, rules: Rules, seed: int) -> Trial:
    """It is paused, and says `while_paused = "hold"`."""
    trial = Trial(_world(size, rules, seed), size, recovers=size.recovers, backlog_until=size.recovers)
    consumer = trial.world.consumers[0]
    consumer.pauses, consumer.holds_while_paused = (size.begins, size.recovers), True
    trial.most.append((size.begins + 0.25 * size.fall, size.recovers, 0.01 * size.rate))
    trial.add()
    return trial


def retired(size: Size, rules: Rules, seed: int) -> Trial:
    """A dead subscription is retired: a minute later nobody waits for it."""
    trial = Trial(_world(size, rules, seed), size)
    trial.world.consumers[0].speed = lambda now: 0.0 if now > size.begins else 2.5 * size.rate
    trial.world.consumers[0].retired = size.begins + 30
    trial.least.append((size.begins + 95, size.ends, 0.95 * size.rate))
    trial.add()
    return trial


def opened(size: Size, rules: Rules, seed: int) -> Trial:
    """It is dead, and an operator opens the stream for a while."""
    trial = Trial(_world(size, rules, seed), size, recovers=size.recovers)
    consumer = trial.world.consumers[0]
    consumer.speed = _falling(size, 0.0)
    trial.world.clock.after(size.begins + 30, lambda: trial.world.open(consumer, 60.0))
    trial.most.append((size.begins + 20, size.begins + 30, 0.01 * size.rate))
    trial.least.append((size.begins + 32, size.begins + 62, 0.8 * size.rate))
    trial.add()
    return trial


def away(size: Size, rules: Rules, seed: int) -> Trial:
    """The owner is in another Region, 1 to 4 s away, and falls to a tenth."""
    trial = _overloaded(size, rules, seed, share=0.1)
    trial.world.consumers[0].region = AWAY
    trial.backlog_until = None
    trial.add()
    return trial


def cut_off(size: Size, rules: Rules, seed: int) -> Trial:
    """The owner's Region is cut off: its publishers wait, and go on when it is back."""
    trial = Trial(_world(size, rules, seed), size, recovers=size.recovers + 5)
    trial.world.consumers[0].region = AWAY
    trial.world.faults.cut_off = (size.begins, size.recovers)
    trial.most.append((size.begins + 0.25 * size.fall, size.recovers, 0.01 * size.rate))
    trial.add()
    return trial


def failed_over(size: Size, rules: Rules, seed: int) -> Trial:
    """The owner's Region is lost, and the publishers' own takes over, 40 events behind."""
    trial = Trial(_world(size, rules, seed), size, recovers=size.begins + 30)
    consumer = trial.world.consumers[0]
    consumer.region = AWAY
    trial.world.faults.cut_off = (size.begins, inf)
    trial.world.clock.after(size.begins + 30, lambda: trial.world.fail_over(consumer, "here", behind=40))
    trial.least.append((size.begins + 45, size.ends, 0.95 * size.rate))
    trial.add()
    return trial


def bursts(size: Size, rules: Rules, seed: int) -> Trial:
    """Events come 300 at once, beside publishers of single ones: records are cut."""
    trial = _overloaded(size, rules, seed, share=0.1)
    trial.least.clear()
    trial.most.clear()
    trial.backlog_until = None
    trial.add(burst=300, number=size.publishers // 2)
    trial.is_overloaded = False
    return trial


def transactions(size: Size, rules: Rules, seed: int) -> Trial:
    """Transactions of 40 events, more than a window: each begins below the grant."""
    trial = _overloaded(size, rules, seed, share=0.1)
    trial.least.clear()
    trial.most.clear()
    trial.backlog_until = None
    trial.add(burst=40, atomic=True)
    trial.is_overloaded = False
    return trial


def cold(size: Size, rules: Rules, seed: int) -> Trial:
    """Everything begins at once, with a consumer of a fiftieth of the rate: it gates from its first runs on."""
    consumer = Consumer("billing", lambda now: 0.02 * size.rate, workers=size.lanes // 2)
    trial = Trial(World(rules, [consumer], lanes=size.lanes, seed=seed), size, stands_seconds=size.ends)
    trial.most.append((0.0, 60.0, 0.4 * size.rate))
    trial.most.append((size.begins, size.ends, 0.05 * size.rate))
    trial.add()
    return trial


def unwanted(size: Size, rules: Rules, seed: int) -> Trial:
    """From now on the gate wants nothing of half of the lanes."""
    trial = Trial(_world(size, rules, seed), size, recovers=size.begins)
    consumer = trial.world.consumers[0]
    consumer.unwanted, consumer.unwanted_since = frozenset(range(size.lanes // 2)), size.begins
    trial.least.append((15.0, size.ends, 0.95 * size.rate))
    trial.add()
    return trial


def trickle(size: Size, rules: Rules, seed: int) -> Trial:
    """Hardly anything is published for long; then the usual."""
    trial = Trial(_world(size, rules, seed), size, recovers=size.recovers)
    trial.add()
    for publisher in trial.publishers:
        publisher.rate = 0.01
        trial.world.clock.after(size.recovers, partial(publisher.wants, size.rate / size.publishers))
    return trial


SCENARIOS: dict[str, Scenario] = {
    scenario.__name__: scenario
    for scenario in (
        *(
            tenth,
            half,
            singly,
            tenth_hot,
            short_lived,
            mixed,
            dead,
            dead_hot,
            faulty,
            quiet,
            two_gates,
            halted,
            replays,
            newcomer,
        ),
        *(latest, paused, held, retired, opened, away, cut_off, failed_over, bursts, transactions, unwanted),
        cold,
        trickle,
    )
}
