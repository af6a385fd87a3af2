"""Replays at any moment, crashed at any call: what comes again is what was asked for, in order, and nothing is lost."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventfabric.errors import ContendedCommitError, PortError, ReplayRefusedError
from eventfabric.model import AtTime, Event, Start, lane_index
from eventfabric.testing.memory.faults import Fault, Faults, SimulatedCrash, at_random, nth
from tests.simulation.test_failure_properties import (
    ALL_FAULTS,
    LANES,
    OF_PORTS,
    Behaviour,
    Driver,
    Record,
    a_fabric,
    dead_and_waiting,
    keys_of,
    published,
    records,
)
from tests.support.memory_fabric import LANE, event, lane
from tests.support.recording_handler import Recorder
from tests.support.replays import at_sequence, replay_of
from tests.support.subscribed_stream import SubscribedStream

KEYS = [key for key in "abcdefghij" if lane_index(key, 2) == 0][:3]
CALLS_MAX = 12

Told = list[tuple[int, bool]]
"""Sequences as they were handled, and whether as replays."""


@dataclass
class Model:
    """Model of one lane without failures: a cursor, and the events of keys that wait to be handled again."""

    keys: list[str] = field(default_factory=list)
    cursor: int = 0
    until: int = 0
    waiting: dict[str, list[tuple[int, bool]]] = field(default_factory=dict)

    def replay(self, start: int) -> None:
        """The lane goes back to `start`."""
        if start >= self.cursor:
            return
        self.cursor, self.until = start, max(self.until, self.cursor)
        kept = {key: [place for place in places if place[0] < start] for key, places in self.waiting.items()}
        self.waiting = {key: places for key, places in kept.items() if places}

    def replay_key(self, key: str, start: int) -> None:
        """One key's events come again."""
        places = [(number, True) for number in range(start, self.cursor) if self.keys[number] == key]
        if places and key not in self.waiting:
            self.waiting[key] = places

    def deliver(self, until: int) -> Told:
        """Return what a visit handles that leaves the cursor at `until`: what waits, key by key, and then the lane."""
        keys = sorted(self.waiting.values(), key=lambda places: places[0][0])
        places = [place for places in keys for place in places]
        places += [(number, number < self.until) for number in range(self.cursor, until)]
        self.waiting, self.cursor = {}, until
        return places


publishing = st.tuples(st.just("publish"), st.lists(st.sampled_from(KEYS), min_size=1, max_size=4))
delivering = st.tuples(st.just("deliver"), st.sampled_from([0, 0, 15_000, 35_000]))
starts = st.integers(0, 12) | st.just("time")
faults_of_a_replay = st.none() | st.tuples(st.integers(1, CALLS_MAX), st.sampled_from(ALL_FAULTS))
replaying = st.tuples(st.just("replay"), starts, st.none() | st.sampled_from(KEYS), faults_of_a_replay)
steps = st.lists(publishing | delivering | replaying, min_size=3, max_size=14)


class Machine:
    """A fabric and its model, step by step."""

    def __init__(self, guarantee: str, batch_events_max: int) -> None:
        def before(events: Sequence[Event]) -> None:
            self.fabric.clock.advance(10)

        self.fabric = SubscribedStream(
            guarantee=guarantee, handler=Recorder(batch_events_max=batch_events_max, before=before)
        )
        self.model = Model()
        self.times = [self.fabric.clock.now_ms()]

    def publish(self, keys: list[str]) -> None:
        for key in keys:
            self.model.keys.append(key)
        first = len(self.model.keys) - len(keys)
        self.fabric.put(*(event(f"{first + number}", key=key) for number, key in enumerate(keys)))
        self.fabric.clock.advance(1)
        self.times += [self.fabric.clock.now_ms()] * len(keys)

    def deliver(self, time_ms: int) -> None:
        """A visit with so much time, 0: with all it needs."""
        recorder = self.fabric.recorder
        recorder.events.clear()
        recorder.replays.clear()
        self.fabric.deliver(time_ms=time_ms or 10**9)
        handled = [(int(name), replay) for name, replay in recorder.handled()]
        expected = self.model.deliver(self.fabric.cursor().sequence)
        # Out of time among the keys: those that were not handled go on waiting.
        left = [place for parked in self.fabric.parked().values() for place in parked.waiting]
        if time_ms:
            expected = [place for place in expected if place[0] not in {place.sequence for place in left}]
            self.model.waiting = {
                parked.key: [(place.sequence, place.replay) for place in parked.waiting]
                for parked in self.fabric.parked().values()
            }
        assert handled == expected

    def replay(self, start: int | str, key: str | None, fault: tuple[int, Fault] | None) -> None:
        """Replay as an operator would, and look up what a fault left behind."""
        number = len(self.model.keys) // 2 if start == "time" else int(start)
        where: Start = at_sequence(number)
        if start == "time":
            first = [
                record.sequence for record in self.fabric.records() if record.time >> 16 >= self.times[number]
            ]
            where, number = AtTime(self.times[number]), first[0] if first else len(self.model.keys)
        before = self.fabric.cursor(), self.fabric.parked()
        known_replay = replay_of(self.fabric, faults=Faults(nth(*fault)) if fault else None)
        with suppress(ReplayRefusedError, SimulatedCrash, PortError):
            for plan in known_replay.plan(where, key=key):
                if plan.changes_anything:
                    known_replay.carry_out(plan)
        if (self.fabric.cursor(), self.fabric.parked()) == before:
            return  # refused, nothing to replay, or crashed before
        if key is None:
            self.model.replay(number)
        else:
            self.model.replay_key(key, number)

    def check(self) -> None:
        """The cursor stands where the model's does, what waits in keys is the model's, and all of it before it."""
        cursor, parked = self.fabric.cursor(), self.fabric.parked()
        assert cursor.sequence == self.model.cursor
        assert cursor.replay_until == (self.model.until if self.model.until > cursor.sequence else 0)
        waiting = {
            k: [(place.sequence, place.replay) for place in parked_event.waiting]
            for k, parked_event in parked.items()
        }
        assert waiting == self.model.waiting
        assert all(sequence < cursor.sequence for places in waiting.values() for sequence, _ in places)


@pytest.mark.parametrize("guarantee", ["at_most_once", "at_least_once", "exactly_once"])
@settings(max_examples=200, deadline=None)
@given(steps=steps, batch_events_max=st.sampled_from([1, 1, 3]))
def test_what_comes_again_is_what_was_asked_for(
    guarantee: str, steps: list[tuple[object, ...]], batch_events_max: int
) -> None:
    machine = Machine(guarantee, batch_events_max)
    for name, *arguments in steps:
        getattr(machine, str(name))(*arguments)
        machine.check()
    machine.deliver(0)
    machine.check()
    assert machine.model.cursor == len(machine.model.keys)


# Keys that `published` puts where they belong.
OF_THEIR_LANES = [
    f"{key}{index}" for key in "xyz" for index in (0, 1) if lane_index(f"{key}{index}", 2) == index
]
replays = st.tuples(
    st.integers(0, 40),
    st.integers(0, 8),
    st.none() | st.sampled_from(OF_THEIR_LANES),
    st.sampled_from([0, 0.1, 0.3]),
)


def replayed(fabric: SubscribedStream, start: int, key: str | None, rate: float, seed: int) -> int:
    """An operator's replay through faults; how many lanes it changed, as far as anybody can tell."""
    replay = replay_of(fabric, faults=Faults(at_random(rate, ALL_FAULTS, seed=seed)))
    before = {lane: fabric.cursor(lane).version for lane in LANES}
    with suppress(ReplayRefusedError, ContendedCommitError, SimulatedCrash, PortError):
        for plan in replay.plan(at_sequence(start), key=key):
            replay.carry_out(plan)
    return sum(fabric.cursor(lane).version != before[lane] for lane in LANES)


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
@settings(max_examples=150, deadline=None)
@given(
    log=st.lists(records, min_size=1, max_size=8),
    later=st.lists(records, max_size=4),
    requests=st.lists(replays, min_size=1, max_size=4),
    seed=st.integers(0, 2**16),
    rate=st.sampled_from([0, 0.05, 0.2]),
)
def test_whatever_fails_meanwhile_nothing_is_lost_and_each_key_keeps_its_order(
    guarantee: str,
    log: list[Record],
    later: list[Record],
    requests: list[tuple[int, int, str | None, float]],
    seed: int,
    rate: float,
) -> None:
    behaviour = Behaviour()
    fabric = a_fabric(seed, guarantee, "key", 1, behaviour)
    fabric.recorder.effects = False
    published(fabric, behaviour, log)
    driver = Driver(fabric)
    fabric.faults.rules.append(at_random(rate, ALL_FAULTS, seed=seed, names=OF_PORTS))
    for number, (rounds, start, key, replay_rate) in enumerate(requests):
        for _ in range(rounds):
            with suppress(SimulatedCrash, PortError):
                driver.round()
        changed = replayed(fabric, start, key, replay_rate, seed + number)
        for checked_lane in LANES if changed else []:
            driver._reached[checked_lane] = min(
                driver._reached[checked_lane], fabric.cursor(checked_lane).sequence
            )
    fabric.faults.heal()
    published(fabric, behaviour, later)
    fabric.ring_all(LANES)
    driver.drain()
    assert_nothing_lost(fabric, behaviour)


def assert_nothing_lost(fabric: SubscribedStream, behaviour: Behaviour) -> None:
    logged, handled = keys_of(fabric), fabric.recorder.ids()
    for checked_lane in LANES:
        assert fabric.cursor(checked_lane).sequence == len(fabric.logged_ids(checked_lane))
        assert fabric.cursor(checked_lane).replay_until == 0
    dead, waiting = dead_and_waiting(fabric)
    assert dead <= behaviour.guilty()
    assert set(handled) | dead | waiting == {name for names in logged.values() for name in names}
    for names in logged.values():
        first_seen = list(dict.fromkeys(name for name in handled if name in names))
        assert first_seen == [name for name in names if name in set(first_seen)]


@pytest.mark.parametrize("index", [0, 1])
def test_the_lanes_of_these_tests_are_those_of_their_keys(index: int) -> None:
    assert all(lane_index(key, 2) == 0 for key in KEYS)
    assert LANES[index] == lane(index)
    assert LANES[0] == LANE
