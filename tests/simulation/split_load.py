"""Random load on a stream whose lanes are split meanwhile, and what must hold of it.

Deliveries see replication in any order, doorbells that come again, calls that crash or have no reply, and handlers that
fail. Nobody looks after what is left: no doorbell is lost, so none of that must be needed.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from random import Random
from typing import Any

from eventfabric import limits
from eventfabric.errors import PortError
from eventfabric.model import Event, Region, Write
from eventfabric.ports import Attempt
from eventfabric.testing.memory.faults import Fault, Faults, SimulatedCrash, at_random
from tests.support.failing_handlers import Failing, retry
from tests.support.handovers import hand_over
from tests.support.memory_fabric import AWAY, HOME, LANE, event
from tests.support.recording_handler import Recorder
from tests.support.split_stream import SplitStream, key_of
from tests.support.subscribed_stream import SubscribedStream

KEYS = [key_of(leaf, number) for child in LANE.children for leaf in child.children for number in range(2)]
GENERATIONS_MAX = 3


class Shared(Recorder):
    """A handler that notes what it handled in a list that the Regions share, as well."""

    def __init__(self, handled: list[Event], **settings: Any) -> None:
        super().__init__(**settings)
        self.handled_anywhere = handled
        self.epochs: list[int] = []

    def attempt(self, events: Sequence[Event], attempt: Attempt) -> Sequence[Write]:
        effects = super().attempt(events, attempt)
        self.handled_anywhere += events
        self.epochs += [attempt.epoch] * len(events)
        return effects


class SplitLoad:
    """Load of one seed. `hands_over`: the lanes are handed over to the other Region and back meanwhile.

    `loses`: they often are, because the former owner's Region is lost. Of its state, little was replicated.
    """

    def __init__(
        self,
        seed: int,
        *,
        guarantee: str = "at_least_once",
        deliver: str = "one",
        hands_over: bool = False,
        loses: bool = False,
        fault_rate: float = 0.0,
    ) -> None:
        self.random = Random(f"{seed} {guarantee} {deliver} {hands_over} {loses} {fault_rate}")
        self.failing, self.fault_rate = Failing({}), fault_rate
        self.guarantee, self.deliver, self.loses = guarantee, deliver, loses
        self.handover_share = 0.6 if loses else 0.15 if hands_over else 0.0
        settings: dict[str, Any] = {} if guarantee == "at_most_once" else retry(immediate=0, attempts=60)
        settings |= {"region": HOME} if deliver == "one" else {}
        self.handled: list[Event] = []
        self.home = SplitStream(
            seed=seed, handler=self._handler(), guarantee=guarantee, deliver=deliver, **settings
        )
        self.away: SubscribedStream = self.home.in_region(AWAY, handler=self._handler())
        self.published: defaultdict[str, list[str]] = defaultdict(list)
        self.owner, self.epoch, self.events = HOME, 0, 0
        self.lost: Region | None = None

    def _handler(self) -> Shared:
        return Shared(self.handled, before=self.failing, effects=self.guarantee == "exactly_once")

    def run(self, steps: int) -> None:
        """Take random steps, and then have everything move that can."""
        for _ in range(steps):
            self.step()
        self.lose(None)
        for _ in range(4):
            self.home.cloud.replicate()
            for fabric in (self.home, self.away):
                fabric.relay_all()
                fabric.deliver_all()
                self.home.clock.advance(limits.CIRCUIT_CACHE_SECONDS + 1)

    def step(self) -> None:
        random = self.random
        here: list[SubscribedStream] = [self.home, self.away]
        fabric = random.choice([fabric for fabric in here if fabric.region != self.lost])
        match random.randrange(9):
            case 0 | 1 if self.lost != HOME:
                self.publish()
            case 2 if random.random() < 0.25 and self.lost != HOME:
                self.split()
            case 3:
                most = 12 if random.random() > 0.5 or not self.loses else 2
                self.home.cloud.replicate(random.randrange(1, most), random.randrange)
            case 4:
                fabric.relay(random.randrange(1, 6), comes_again=random.random() < 0.1)
            case 5 | 6:
                self.run_messages(fabric)
            case 7:
                self.home.clock.advance(random.choice([0.1, 2, 40, 100]))
                while (body := fabric.timers.take()) is not None:
                    fabric.ring_body(body)
            case 8 if random.random() < self.handover_share:
                self.hand_over()

    def publish(self) -> None:
        """Append one record with events of keys that go to one lane by now."""
        lane = self.home.lane_now(self.random.choice(KEYS))
        keys = [key for key in KEYS if self.home.lane_now(key) == lane]
        events = list[Event]()
        for key in self.random.choices(keys, k=self.random.randrange(1, 4)):
            self.events += 1
            name = f"e{self.events}"
            events.append(event(name, key=key))
            self.published[key].append(name)
            if self.random.random() < 0.15:
                self.failing.times[name] = self.random.choice([1, 2, 3])
        self.home.put(*events, of=lane, log_lane_tail=self.home.tail_of(lane))

    def split(self) -> None:
        """End the lane that a key has by now."""
        lane = self.home.lane_now(self.random.choice(KEYS))
        if lane.generation < GENERATIONS_MAX:
            self.home.split(lane)

    def hand_over(self) -> None:
        """Hand the lanes over to the other Region, and ring their root alone."""
        fabric = self.away if self.owner == HOME else self.home
        if self.loses:
            self.lose(self.random.choice([self.owner, None]))
        self.owner, self.epoch = fabric.region, self.epoch + 1
        hand_over(fabric, epoch=self.epoch)
        fabric.ring_all([LANE])

    def lose(self, region: Region | None) -> None:
        """Lose a Region, or none: nothing runs there, and nothing is replicated. Another one that was lost is back."""
        for other in (HOME, AWAY):
            self.home.cloud.heal(other)
        if region is not None:
            self.home.cloud.cut(region)
        self.lost = region

    def run_messages(self, fabric: SubscribedStream) -> None:
        """Answer some of the messages in a queue, by a process of which calls may fail."""
        messages = fabric.receive()
        fails = at_random(self.fault_rate, tuple(Fault), seed=self.random.randrange(2**30))
        deliverer = fabric.deliverer(faults=Faults(fails))
        for message in messages[: self.random.randrange(len(messages) + 1)]:
            with suppress(SimulatedCrash, PortError):
                fabric.answer([message], by=deliverer)

    def check(self) -> None:
        """Check that each key's events were handled in the order of their publishing, and that none is missing."""
        if self.deliver == "everywhere":
            for fabric in (self.home, self.away):
                self.check_handled(fabric.recorder.events)
        else:
            self.check_handled(self.handled)
        if not self.fault_rate:
            self.check_epochs(self.home)
            self.check_epochs(self.away)

    def check_epochs(self, fabric: SubscribedStream) -> None:
        """Check that an owner goes through each key event by event, from where it took that over. Not after faults."""
        assert isinstance(fabric.handler, Shared)
        last = dict[tuple[str, int], int]()
        for given, epoch in zip(fabric.handler.events, fabric.handler.epochs, strict=True):
            place = self.published[given.key].index(str(given.id))
            assert place == last.get((given.key, epoch), place - 1) + 1, given.key
            last[given.key, epoch] = place

    def check_handled(self, handled: Sequence[Event]) -> None:
        seen: defaultdict[str, list[str]] = defaultdict(list)
        for given in handled:
            seen[given.key].append(str(given.id))
        for key, names in self.published.items():
            first = list(dict.fromkeys(seen[key]))
            if self.guarantee == "at_most_once":
                assert seen[key] == first == [name for name in names if name in first], key
            else:
                assert first == names, key
        if self.guarantee == "exactly_once" and not self.handover_share:
            times = Counter(self.home.effects())
            assert times == Counter([name for names in self.published.values() for name in names])


def passed_lanes(fabric: SplitStream) -> int:
    """Count the lanes of the first tree whose seals were passed."""
    lanes, passed = [LANE], 0
    while lanes:
        lane = lanes.pop()
        if fabric.cursor(lane).past_seal is not None:
            passed += 1
            lanes += lane.children
    return passed
