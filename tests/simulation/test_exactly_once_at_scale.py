"""Exactly once, 10,000 events: crashes at every port call at random, and two consumers that race for one lane."""

from collections import Counter
from collections.abc import Sequence
from random import Random

from eventfabric.errors import PortError
from eventfabric.model import Event
from eventfabric.services.delivery.deliver import Deliverer
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.faults import Fault, Faults, SimulatedCrash, at_random
from tests.support.memory_fabric import LANE, event
from tests.support.recording_handler import Recorder
from tests.support.subscribed_stream import SubscribedStream

EVENTS, RECORD_EVENTS, KEYS = 10_000, 10, 97
FAULT_RATE, RACE_RATE = 0.02, 0.02
KINDS = [Fault.CRASH_BEFORE, Fault.CRASH_AFTER, Fault.LOST_REPLY, Fault.LOST_REQUEST, Fault.THROTTLED]


class Race:
    """Two function instances for one lane; now and then one runs in the middle of the other's attempt."""

    def __init__(self, fabric: SubscribedStream, faults: Faults, seed: int) -> None:
        self.fabric = fabric
        self.outcomes: Counter[str] = Counter()
        self._random = Random(seed)
        self._racing = False
        self._receive_counts = [1, 1]
        self._consumers: list[Deliverer] = [
            fabric.deliverer(handler=Recorder(effects=True, before=self._overtake), faults=faults)
            for _ in range(2)
        ]

    def visit(self, number: int) -> None:
        """One delivery of the lane by a consumer; a crash makes its doorbell come again."""
        try:
            result = self._consumers[number].deliver(
                self.fabric.bell(),
                deadline_ms=self.fabric.clock.now_ms() + 100_000,
                receive_count=self._receive_counts[number],
            )
            self._receive_counts[number] = 1
            self.outcomes[result.outcome.value] += 1
        except (SimulatedCrash, PortError) as error:
            self._receive_counts[number] += 1
            self.outcomes[type(error).__name__] += 1

    def _overtake(self, events: Sequence[Event]) -> None:
        if self._racing or self._random.random() >= RACE_RATE:
            return
        self._racing = True
        try:
            self.visit(1)
        finally:
            self._racing = False


def test_each_of_ten_thousand_effects_happens_once() -> None:
    fabric = SubscribedStream(guarantee="exactly_once")
    names = [f"e{number}" for number in range(EVENTS)]
    for start in range(0, EVENTS, RECORD_EVENTS):
        some = range(start, start + RECORD_EVENTS)
        fabric.put(*(event(names[number], key=f"k{number % KEYS}") for number in some))
    faults = Faults(at_random(FAULT_RATE, KINDS, seed=3))
    race = Race(fabric, faults, seed=4)
    for _ in range(5_000):
        if fabric.cursor().sequence == EVENTS and not fabric.parked():
            break
        race.visit(0)
        fabric.clock.advance(1)
    rows = fabric.effects()
    assert {name: rows[name] for name in names} == dict.fromkeys(names, 1)
    assert fabric.parked() == {}
    assert race.outcomes["SimulatedCrash"] > 100
    assert fabric.telemetry.totals[Metric.COMMITS_LOST] > 20
    assert fabric.log.tail(LANE).sequence == EVENTS
