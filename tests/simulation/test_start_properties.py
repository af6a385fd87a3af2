"""A subscription that begins with the latest, or with a time: whoever comes first, and whoever crashes, no lane misses
what was published from then on, and none is handed what was published before.
"""

from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from eventfabric.errors import PortError
from eventfabric.model import AtTime, Doorbell, StreamName, SubscriptionName
from eventfabric.testing.memory.faults import Fault, SimulatedCrash, at_random
from eventfabric.wire.payload_codec import unpack
from tests.support.memory_fabric import HOME, STREAM, event, lane
from tests.support.subscribed_stream import INVOCATION_MS, SUBSCRIPTION, SubscribedStream

LANES = [lane(0), lane(1)]
BEGAN_MS = SubscribedStream().clock.now_ms()
CALLS = ("ledger.pin", "ledger.commit", "ledger.state", "ledger.standing", "log.tail", "log.read")

records = st.tuples(st.just("publish"), st.integers(0, 1), st.integers(1, 3))
waits = st.tuples(st.just("wait"), st.sampled_from([1, 30, 1_000]), st.just(0))
deliveries = st.tuples(st.just("deliver"), st.integers(0, 1), st.integers(0, 5))
steps = st.lists(records | waits | deliveries, min_size=3, max_size=20)


class Story:
    """A fabric, step by step, with two processes that deliver; nothing is rung but by a doorbell of a record."""

    def __init__(self, start: str, seed: int, rate: float) -> None:
        self.fabric = SubscribedStream(start=start, seed=seed)
        self.processes = [self.fabric.deliverer(), self.fabric.deliverer()]
        self.bells: list[list[Doorbell]] = [[], []]
        self.published = 0
        self.fabric.faults.rules.append(at_random(rate, tuple(Fault), seed=seed, names=CALLS))

    def publish(self, index: int, count: int) -> None:
        self.fabric.put(*(event(f"{self.published + n}") for n in range(count)), of=LANES[index])
        self.published += count
        self.bells[index].append(self.fabric.bell(LANES[index]))

    def wait(self, ms: int, _: int) -> None:
        self.fabric.clock.advance(ms / 1000)

    def deliver(self, index: int, which: int) -> None:
        """One of the lane's doorbells, mostly the oldest, in one of the processes; it comes again unless it is done."""
        bells = self.bells[index]
        if not bells:
            return
        bell = bells[min(which // 2, len(bells) - 1)]
        deadline_ms = self.fabric.clock.now_ms() + INVOCATION_MS
        try:
            if self.processes[which % 2].deliver(bell, deadline_ms=deadline_ms).done:
                bells.remove(bell)
        except PortError:
            pass
        except SimulatedCrash:
            self.processes[which % 2] = self.fabric.deliverer()

    def drain(self) -> None:
        self.fabric.faults.heal()
        for index in (0, 1):
            while self.bells[index]:
                self.deliver(index, 0)

    def later_than(self, ms: int) -> set[str]:
        """The events of all lanes that were appended then or later."""
        return {
            str(event.id)
            for lane in LANES
            for record in self.fabric.records(lane)
            if record.time >> 16 >= ms
            for event in unpack(record)
        }


@settings(max_examples=400, deadline=None)
@given(
    past=st.lists(records | waits, max_size=6),
    story=steps,
    seed=st.integers(0, 2**16),
    rate=st.sampled_from([0, 0.1, 0.3]),
)
def test_the_latest_is_pinned_once_and_holds_for_every_lane(
    past: list[tuple[str, int, int]], story: list[tuple[str, int, int]], seed: int, rate: float
) -> None:
    start_story = Story("latest", seed, rate)
    for name, *arguments in past:
        getattr(start_story, name)(*arguments)
    start_story.bells = [[], []]  # nobody was subscribed when these rang
    before = start_story.published
    for name, *arguments in story:
        with suppress(SimulatedCrash, PortError):
            getattr(start_story, name)(*arguments)
    start_story.drain()
    standing = start_story.fabric.cloud.ledger(HOME).standing(
        StreamName(STREAM), SubscriptionName(SUBSCRIPTION)
    )
    handled = set(start_story.fabric.recorder.ids())
    if HOME not in standing.starts:
        assert handled == set()
        assert start_story.published == before
        return
    pinned = standing.starts[HOME]
    assert any(record.time == pinned for lane in LANES for record in start_story.fabric.records(lane))
    # Lanes that rang have what they must; a lane that never rang since has nothing that it must have.
    assert handled == start_story.later_than(pinned >> 16) - unrung(start_story)
    for checked_lane in LANES:
        ids = start_story.fabric.recorder.ids(checked_lane)
        assert list(dict.fromkeys(ids)) == [
            name for name in start_story.fabric.logged_ids(checked_lane) if name in set(ids)
        ]


def unrung(story: Story) -> set[str]:
    """The events of lanes that have no cursor, since none of their doorbells came."""
    return {
        name
        for lane in LANES
        if not story.fabric.cursor(lane).version
        for name in story.fabric.logged_ids(lane)
    }


@settings(max_examples=200, deadline=None)
@given(
    story=steps,
    seed=st.integers(0, 2**16),
    rate=st.sampled_from([0, 0.1, 0.3]),
    after_ms=st.integers(-10, 3_000),
)
def test_a_time_holds_for_every_lane(
    story: list[tuple[str, int, int]], seed: int, rate: float, after_ms: int
) -> None:
    start_story = Story(str(AtTime(BEGAN_MS + after_ms)), seed, rate)
    for name, *arguments in story:
        with suppress(SimulatedCrash, PortError):
            getattr(start_story, name)(*arguments)
    start_story.drain()
    assert set(start_story.fabric.recorder.ids()) == start_story.later_than(BEGAN_MS + after_ms)
