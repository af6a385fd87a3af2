"""A Region is lost in the middle of load, another takes over, the first returns: memory adapters, many seeds."""

from collections import Counter
from random import Random

import pytest

from eventfabric.model import Region
from eventfabric.services.operations.failover import Failover
from eventfabric.services.reconciliation.reconcile import Reconciler
from tests.support.failing_handlers import Failing, retry
from tests.support.memory_fabric import AWAY, HOME, event, lane
from tests.support.recording_handler import Recorder
from tests.support.subscribed_stream import SubscribedStream

KEYS = "abcde"


class Load:
    """Publishes in two Regions, delivers in both, at random; notes what was acknowledged."""

    def __init__(self, seed: int, durability: str) -> None:
        self.random = Random(f"{seed} {durability}")
        self.failing = Failing({})
        handler = Recorder(before=self.failing)
        self.home = SubscribedStream(
            seed=seed, handler=handler, durability=durability, **retry(immediate=0, attempts=60)
        )
        self.away = self.home.in_region(AWAY, handler=Recorder(before=self.failing))
        self.acknowledged: list[str] = []

    def publish(self, origin: Region) -> None:
        """One record of one to three events in a lane of an origin."""
        fabric = {HOME: self.home, AWAY: self.away}[origin]
        names: list[str] = []
        for _ in range(self.random.randrange(1, 4)):
            names.append(f"{self.random.choice(KEYS)}{len(self.acknowledged) + len(names)}")
        if self.random.random() < 0.2:
            self.failing.times[names[0]] = self.random.choice([1, 2])
        of = lane(self.random.randrange(2), origin)
        tail = fabric.log.tail(of)
        assert (
            fabric.log.append(fabric.record(tail, *(event(name, key=name[0]) for name in names), of=of))
            is None
        )
        self.acknowledged += names

    def move(self, fabrics: list[SubscribedStream]) -> None:
        """One random step of some Regions."""
        fabric, random = self.random.choice(fabrics), self.random
        match random.randrange(5):
            case 0:
                self.home.cloud.replicate(random.randrange(1, 12), random.randrange)
            case 1:
                fabric.relay(random.randrange(1, 6))
            case 2 | 3:
                messages = fabric.receive()
                fabric.answer(messages[: random.randrange(len(messages) + 1)])
            case _:
                self.home.clock.advance(random.choice([0.1, 2, 40]))
                while (body := fabric.timers.take()) is not None:
                    fabric.ring_body(body)

    def drain(self, fabrics: list[SubscribedStream]) -> None:
        """Everything that can move moves; what was never rung for is found by reconciliation."""
        for _ in range(3):
            self.home.cloud.replicate()
            for fabric in fabrics:
                fabric.relay_all()
                fabric.deliver_all()
                self.home.clock.advance(1000)
                reconciler = Reconciler(
                    fabric.stream, region=fabric.region, ports=fabric.ports(), telemetry=fabric.telemetry
                )
                alarms = [finding for finding in reconciler.run(repair=True) if finding.is_alarm]
                assert alarms == []


def fail_over(load: Load, source: Region, fabric: SubscribedStream) -> None:
    Failover(fabric.topology, source=source, target=fabric.region, ports=fabric.ports()).hand_over("test")
    load.home.clock.advance(6)


@pytest.mark.parametrize("durability", ["replicated", "quorum"])
@pytest.mark.parametrize("seed", range(40))
def test_what_was_acknowledged_is_delivered_and_repeated_within_the_bound(seed: int, durability: str) -> None:
    load = Load(seed, durability)
    home, away = load.home, load.away
    for _ in range(60):
        if load.random.random() < 0.4:
            load.publish(load.random.choice([HOME, AWAY]))
        load.move([home, away])

    # The Region is gone: nothing runs in it, nothing leaves it.
    home.cloud.cut(HOME)
    lost_at = len(home.recorder.events)
    unseen = unreplicated(load)
    fail_over(load, HOME, away)
    for _ in range(40):
        if load.random.random() < 0.4:
            load.publish(AWAY)
        load.move([away])
    load.drain([away])
    assert len(home.recorder.events) == lost_at

    home.cloud.heal(HOME)
    for _ in range(30):
        if load.random.random() < 0.4:
            load.publish(load.random.choice([HOME, AWAY]))
        load.move([home, away])
    load.drain([home, away])
    fail_over(load, AWAY, home)
    load.drain([home, away])

    handled = Counter([*home.recorder.ids(), *away.recorder.ids()])
    assert set(handled) == set(load.acknowledged)
    repeated = {name for name, times in handled.items() if times > 1}
    assert repeated <= unseen
    if durability == "quorum":
        assert not repeated
    check_order(home, load)
    check_order(away, load)
    for of in (lane(i, origin) for i in (0, 1) for origin in (HOME, AWAY)):
        assert home.log.tail(of) == away.log.tail(of)
    assert home.parked() == away.parked() == {}


def unreplicated(load: Load) -> set[str]:
    """Events that may be handled twice: after the place that AWAY knows the lost Region's cursors to have passed."""
    ids: set[str] = set()
    for index in (0, 1):
        of = lane(index, HOME)
        seen = load.away.ledger.state(load.home.key_of(of))
        cursor = seen.cursor(HOME)
        low = cursor.low.sequence if cursor.low else cursor.sequence
        ids |= {str(e.id) for e in load.home.recorder.events if e.lane == of and (e.sequence or 0) >= low}
    return ids


def check_order(fabric: SubscribedStream, load: Load) -> None:
    """Per key and lane, events in the order of their sequences, up to a takeover, and again from there on."""
    last: dict[tuple[object, str], int] = {}
    for next_event in fabric.recorder.events:
        place = (next_event.lane, next_event.key)
        assert (next_event.sequence or 0) > last.get(place, -1)
        last[place] = next_event.sequence or 0
