"""Publishers that go from Region to Region under lost requests and replies: memory adapters, many seeds."""

from collections import Counter, defaultdict
from random import Random

import pytest

from eventfabric import Fabric
from eventfabric.errors import AppendError, IndeterminateAppendError
from eventfabric.model import Region
from eventfabric.services.reconciliation.reconcile import Reconciler
from eventfabric.testing.memory.faults import Fault, Faults, at_random
from tests.support.memory_fabric import AWAY, HOME, STREAM
from tests.support.producers import always, events, producer, records
from tests.support.recording_handler import Recorder
from tests.support.subscribed_stream import SubscribedStream

KEYS = "abcde"
_LOST = [Fault.LOST_REPLY, Fault.LOST_REQUEST]


class Load:
    """Two producers, each with the other's Region to fail over to, and both Regions' deliveries."""

    def __init__(self, seed: int, durability: str) -> None:
        self.random = Random(f"{seed} {durability}")
        self.home = SubscribedStream(seed=seed, durability=durability)
        self.away = self.home.in_region(AWAY, handler=Recorder())
        # One producer's view of a Region may fail while another's does not.
        self.faults = {region: {HOME: Faults(), AWAY: Faults()} for region in (HOME, AWAY)}
        self.fabrics = {
            region: producer(self.home, self.faults[region], region=region, failover=[to], timeout_seconds=6)
            for region, to in ((HOME, AWAY), (AWAY, HOME))
        }
        self.acknowledged: list[str] = []
        self.order: dict[tuple[Region, Region, str], list[str]] = defaultdict(list)
        """Acknowledged in one Region, by one producer, of one key."""
        self.count = 0

    def weather(self) -> None:
        """Change how one producer reaches one Region from now on."""
        faults = self.random.choice(list(self.random.choice(list(self.faults.values())).values()))
        seed = self.random.randrange(2**32)
        match self.random.randrange(4):
            case 0:
                faults.rules[:] = [always(self.random.choice(_LOST))]
            case 1:
                faults.rules[:] = [at_random(0.5, [*_LOST, Fault.THROTTLED], seed=seed)]
            case _:
                faults.heal()

    def publish(self) -> None:
        region = self.random.choice([HOME, AWAY])
        key, name = self.random.choice(KEYS), f"e{self.count}"
        self.count += 1
        fabric = self.fabrics[region]
        try:
            origin = fabric.publish(STREAM, key=key, type="placed", id=name).origin
        except IndeterminateAppendError as error:
            origin = self.settle(fabric, error)
        except AppendError:
            return  # certainly nowhere
        self.acknowledged.append(name)
        self.order[region, origin, key].append(name)

    def settle(self, fabric: Fabric, error: IndeterminateAppendError) -> Region:
        """Publish the batch again until its outcome is known, as a producer must, before anything else."""
        for _ in range(50):
            self.weather()
            try:
                return fabric.publish_again(error)[0].origin
            except IndeterminateAppendError as still:
                error = still
            except AppendError:
                continue
        self.heal()
        return fabric.publish_again(error)[0].origin

    def heal(self) -> None:
        for seen in self.faults.values():
            for faults in seen.values():
                faults.heal()

    def move(self) -> None:
        """One random step of a Region."""
        fabric = self.random.choice([self.home, self.away])
        match self.random.randrange(12):
            case 0:
                self.home.cloud.replicate(self.random.randrange(1, 12), self.random.randrange)
            case 1 | 2 | 3:
                fabric.relay(self.random.randrange(1, 6))
            case 4 | 5 | 6 | 7:
                messages = fabric.receive()
                fabric.answer(messages[: self.random.randrange(len(messages) + 1)])
            case _:
                self.home.clock.advance(self.random.choice([0.1, 5, 40]))

    def drain(self) -> None:
        for _ in range(3):
            self.home.cloud.replicate()
            for fabric in (self.home, self.away):
                fabric.relay_all()
                fabric.deliver_all()
                self.home.clock.advance(1000)
                reconciler = Reconciler(
                    fabric.stream, region=fabric.region, ports=fabric.ports(), telemetry=fabric.telemetry
                )
                assert [finding for finding in reconciler.run(repair=True) if finding.is_alarm] == []


@pytest.mark.parametrize("durability", ["replicated", "quorum"])
@pytest.mark.parametrize("seed", range(50))
def test_acknowledged_events_are_delivered_and_of_two_copies_one(seed: int, durability: str) -> None:
    load = Load(seed, durability)
    for _ in range(60):
        if load.random.random() < 0.3:
            load.weather()
        if load.random.random() < 0.6:
            load.publish()
        for _ in range(load.random.randrange(6)):
            load.move()
    load.heal()
    load.drain()

    noted = {
        record.batch_id
        for origin in (HOME, AWAY)
        for record in records(load.home, origin)
        if record.note is not None
    }
    copies = Counter(record.batch_id for origin in (HOME, AWAY) for record in records(load.home, origin))
    assert {batch for batch, count in copies.items() if count > 1} <= noted
    handled = Counter([*load.home.recorder.ids(), *load.away.recorder.ids()])
    assert set(handled) == set(load.acknowledged)
    twice = {name for name, count in handled.items() if count > 1}
    assert twice <= in_two_lanes(load)
    if durability == "quorum":
        assert not twice
    check_order(load)


def in_two_lanes(load: Load) -> set[str]:
    """Events of which both copies landed."""
    return {str(e.id) for e in events(load.home, HOME)} & {str(e.id) for e in events(load.home, AWAY)}


def check_order(load: Load) -> None:
    """Each producer's events of a key come in its order within each Region where they were acknowledged."""
    both = in_two_lanes(load)
    for (_, origin, _), names in load.order.items():
        fabric = {HOME: load.home, AWAY: load.away}[origin]
        ids = [name for name in fabric.recorder.ids() if name in set(names) - both]
        assert ids == [name for name in names if name not in both]
