"""Whatever fails, and whoever crashes: in the end each event is handled or waits in a dead key, in its key's order."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventfabric import limits
from eventfabric.errors import PortError
from eventfabric.model import Event, LaneKey, ParkedState, StreamName, SubscriptionName
from eventfabric.testing.memory.faults import Fault, Rule, SimulatedCrash, at_random
from eventfabric.wire.doorbell import from_body
from eventfabric.wire.payload_codec import unpack
from tests.support.memory_fabric import STREAM, event, lane
from tests.support.recording_handler import Recorder
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream

LANES = [lane(0), lane(1)]
ALL_FAULTS = tuple(Fault)
OF_PORTS = (
    "log.read",
    "ledger.state",
    "ledger.commit",
    "ledger.standing",
    "ledger.switch",
    "doorbells.ring",
    "doorbells.ring_later",
)
ATTEMPTS = 4
ROUNDS_MAX = 300


class PassingError(Exception):
    """An error that another attempt mends, or not."""


class LastingError(Exception):
    """An error that no attempt mends."""


@dataclass
class Behaviour:
    """Behaviour of the handler, by the ids of events."""

    fails: Counter[str] = field(default_factory=Counter)
    crashes: Counter[str] = field(default_factory=Counter)
    lasting: set[str] = field(default_factory=set)
    drawn: dict[str, int] = field(default_factory=dict)
    refused: int = 0
    """Commits that were refused: each counts as a failure of the event whose writes they hold."""

    def __call__(self, events: Sequence[Event]) -> None:
        for next_event in events:
            name = str(next_event.id)
            if self.crashes[name] > 0:
                self.crashes[name] -= 1
                raise SimulatedCrash(name)
            if name in self.lasting:
                raise LastingError(name)
            if self.fails[name] > 0:
                self.fails[name] -= 1
                raise PassingError(name)

    def guilty(self) -> set[str]:
        """The events that may become dead letters."""
        return self.lasting | {name for name, times in self.drawn.items() if times + self.refused >= ATTEMPTS}

    def noting_refusals(self, rule: Rule) -> Rule:
        """Return the rule, whose refusals of commits are counted."""

        def noted(name: str, number: int, of_name: int) -> Fault | None:
            fault = rule(name, number, of_name)
            self.refused += fault is Fault.DENIED and name == "ledger.commit"
            return fault

        return noted


Kind = str
KINDS = ["fine"] * 12 + [
    "fails once",
    "fails thrice",
    "fails always",
    "lasting",
    "crashes once",
    "crashes always",
]
records = st.tuples(
    st.integers(0, 1),
    st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from(KINDS)), min_size=1, max_size=3),
)
Record = tuple[int, list[tuple[str, Kind]]]


def published(fabric: SubscribedStream, behaviour: Behaviour, log: list[Record]) -> None:
    """Append the records, and have the handler fail as drawn."""
    for index, events in log:
        made = []
        for key, kind in events:
            name = f"{index}.{len(behaviour.drawn)}"
            made.append(event(name, key=f"{key}{index}"))
            times = {"once": 1, "thrice": 3, "always": 10**6}.get(kind.partition(" ")[2], 0)
            match kind.partition(" ")[0]:
                case "lasting":
                    behaviour.lasting.add(name)
                case "fails":
                    behaviour.fails[name] = times
                case "crashes":
                    behaviour.crashes[name] = times
            behaviour.drawn[name] = times
        fabric.put(*made, of=lane(index))


class Driver:
    """Lambda's pollers, one round after the other; watches that no cursor runs back."""

    def __init__(self, fabric: SubscribedStream) -> None:
        self._world = fabric
        self._by = fabric.deliverer()
        self._reached = dict.fromkeys(LANES, 0)

    def round(self) -> bool:
        """Relay, due timers, one batch of doorbells; whether there was, or will be, anything to do."""
        fabric = self._world
        busy = fabric.relay() > 0
        bells = fabric.faults.doorbells(fabric.cloud.doorbells(fabric.region))
        while (body := fabric.timers.take()) is not None:
            sent = False
            with suppress(SimulatedCrash):
                sent = not bells.ring(SUBSCRIPTION, [from_body(body)])
            if not sent:
                fabric.timers.send(body, delay_seconds=1)
        # One by one: of two lanes in one invocation, the crashes of one use up the receives of the other's doorbell.
        messages = fabric.queue.receive(1)
        try:
            fabric.answer(messages, by=self._by)
        except SimulatedCrash:
            self._by = fabric.deliverer()  # a new process; the doorbells come again
        self._watch()
        if not (busy or messages):
            due_ms = fabric.timers.next_due_ms()
            fabric.clock.advance(1 if due_ms is None else max(1, (due_ms - fabric.clock.now_ms()) / 1000))
            if due_ms is None and len(fabric.queue):
                fabric.clock.advance(limits.VISIBILITY_TIMEOUT_SECONDS)
        return busy or bool(messages) or len(fabric.queue) > 0 or len(fabric.timers) > 0

    def _watch(self) -> None:
        for checked_lane in LANES:
            reached = self._world.cursor(checked_lane).sequence
            assert reached >= self._reached[checked_lane]
            self._reached[checked_lane] = reached

    def drain(self) -> None:
        """Until nothing is left, with a fine event now and then: without any, poison is told from no outage."""
        for number in range(20):
            for checked_lane in LANES:
                self._world.put(event(f"{number}.{checked_lane}", key=f"fine{checked_lane}"), of=checked_lane)
            for _ in range(ROUNDS_MAX):
                if not self.round():
                    return
        raise AssertionError("it does not drain")


def dead_and_waiting(fabric: SubscribedStream) -> tuple[set[str], set[str]]:
    """The ids of the dead events, and of those behind them."""
    dead, waiting = set(), set()
    for checked_lane in LANES:
        ids = {
            event.sequence: str(event.id)
            for record in fabric.records(checked_lane)
            for event in unpack(record)
        }
        key = LaneKey(StreamName(STREAM), SubscriptionName(SUBSCRIPTION), checked_lane)
        state = fabric.cloud.ledger(fabric.region).state(key)
        for parked in state.parked.get(fabric.region, {}).values():
            assert parked.state is ParkedState.DEAD
            first, *rest = (ids[place.sequence] for place in parked.waiting)
            dead.add(first)
            waiting.update(rest)
    return dead, waiting


def keys_of(fabric: SubscribedStream) -> dict[str, list[str]]:
    """The logged ids of each key, in order."""
    by_key: dict[str, list[str]] = {}
    for checked_lane in LANES:
        for record in fabric.records(checked_lane):
            for next_event in unpack(record):
                by_key.setdefault(str(next_event.key), []).append(str(next_event.id))
    return by_key


def assert_as_promised(fabric: SubscribedStream, behaviour: Behaviour, guarantee: str, order: str) -> None:
    logged = keys_of(fabric)
    handled = fabric.recorder.ids()
    for checked_lane in LANES:
        assert fabric.cursor(checked_lane).sequence == len(fabric.logged_ids(checked_lane))
    if guarantee == "at_most_once":
        assert max(Counter(handled).values(), default=1) == 1
        return
    dead, waiting = dead_and_waiting(fabric)
    done = set(fabric.effects()) if fabric.recorder.effects else set(handled)
    assert dead <= behaviour.guilty()
    assert done | dead | waiting == {name for names in logged.values() for name in names}
    assert not (dead | waiting) & done
    if fabric.recorder.effects:
        assert set(fabric.effects().values()) <= {1}
    if order == "none":
        assert waiting == set()
        return
    for names in logged.values():
        first_seen = list(dict.fromkeys(name for name in handled if name in names))
        assert first_seen == [name for name in names if name in set(first_seen)]


def a_fabric(
    seed: int, guarantee: str, order: str, batch_events_max: int, behaviour: Behaviour
) -> SubscribedStream:
    # The effects of keys refuse to go backwards, which without order they may.
    effects = guarantee == "exactly_once" and order == "key" and batch_events_max == 1
    handler = Recorder(effects=effects, before=behaviour, batch_events_max=batch_events_max)
    of_retry: dict[str, Any] = {
        "retry.immediate": 1,
        "retry.attempts": ATTEMPTS,
        "retry.permanent": [f"{__name__}:LastingError"],
        "breaker.failure_ratio": 1.0,
    }
    return SubscribedStream(seed=seed, handler=handler, guarantee=guarantee, order=order, **of_retry)


@pytest.mark.parametrize("guarantee", ["at_most_once", "at_least_once", "exactly_once"])
@pytest.mark.parametrize("order", ["key", "none"])
@settings(max_examples=150, deadline=None)
@given(
    log=st.lists(records, min_size=1, max_size=8),
    later=st.lists(records, max_size=4),
    batch_events_max=st.sampled_from([1, 1, 3]),
    seed=st.integers(0, 2**16),
    rate=st.sampled_from([0, 0.05, 0.2]),
    rounds=st.integers(0, 30),
)
def test_whatever_fails_all_is_handled_or_waits_in_a_dead_key(
    guarantee: str,
    order: str,
    log: list[Record],
    later: list[Record],
    batch_events_max: int,
    seed: int,
    rate: float,
    rounds: int,
) -> None:
    behaviour = Behaviour()
    fabric = a_fabric(seed, guarantee, order, batch_events_max, behaviour)
    published(fabric, behaviour, log)
    driver = Driver(fabric)
    rule = at_random(rate, ALL_FAULTS, seed=seed, names=OF_PORTS)
    # Under exactly_once a commit holds the handler's writes, and a refusal is the event's failure.
    is_of_events = guarantee == "exactly_once"
    fabric.faults.rules.append(behaviour.noting_refusals(rule) if is_of_events else rule)
    for _ in range(rounds):
        with suppress(SimulatedCrash, PortError):
            driver.round()
    fabric.faults.heal()
    published(fabric, behaviour, later)
    driver.drain()
    assert_as_promised(fabric, behaviour, guarantee, order)
