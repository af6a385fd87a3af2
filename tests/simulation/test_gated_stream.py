"""A stream with a gate, publishers and subscription: who appends, and how far the subscription is behind."""

from collections.abc import Callable

import pytest

from eventfabric.definition.sections import Backpressure, WhilePaused
from eventfabric.errors import BackpressureError, PortError
from eventfabric.model import StreamName
from eventfabric.services.delivery.breaker import CircuitBreaker
from eventfabric.services.publishing.append import Appender
from eventfabric.services.publishing.credits import Gate, KnownCredits
from eventfabric.testing.memory.faults import Fault, SimulatedCrash, at_random
from tests.support.memory_fabric import HOME, LANE, STREAM, batch_of, event
from tests.support.subscribed_stream import LANE_KEY, SubscribedStream

WANTED = 5
"""Events that a publisher wants to append each second."""


class Publisher:
    """A publisher that knows of the gate."""

    def __init__(self, fabric: SubscribedStream, name: str) -> None:
        self._fabric = fabric
        self._name = name
        self.appended = self._waiting = 0
        known = KnownCredits(
            fabric.ports().credits,
            StreamName(STREAM),
            HOME,
            gates=lambda: [Gate(LANE_KEY.subscription)],
            clock=fabric.clock,
            entropy=fabric.entropy,
        )
        self._appender = Appender(
            fabric.origin_log,
            stream=STREAM,
            clock=fabric.clock,
            entropy=fabric.entropy,
            timeout_seconds=0,
            credits=lambda: known,
        )

    def publish(self) -> None:
        """Append as much as there is credit for. A few seconds' events wait for the next time."""
        self._waiting = min(10 * WANTED, self._waiting + WANTED)
        names = [f"{self._name}{self.appended + number}" for number in range(self._waiting)]
        events = [event(name, key=name) for name in names]
        batch = batch_of(events, f"{names[0]:>16}".encode())
        try:
            count = self._appender.append(LANE, batch, is_atomic=False).count
            self.appended, self._waiting = self.appended + count, self._waiting - count
        except BackpressureError as error:
            assert error.gates == (str(LANE_KEY.subscription),)


class World:
    """Two publishers and the subscription, second by second."""

    def __init__(self, backpressure: Backpressure | None = None) -> None:
        self.fabric = SubscribedStream(backpressure=backpressure or Backpressure())
        self.publishers = [Publisher(self.fabric, name) for name in "ab"]
        self.operator = CircuitBreaker(
            self.fabric.subscription,
            self.fabric.stream,
            ports=self.fabric.ports(),
            telemetry=self.fabric.telemetry,
        )
        self.go_on(120)

    def go_on(self, seconds: int, *, deliver: Callable[[SubscribedStream], None] | None = None) -> int:
        """Let time pass. Return how many events were appended."""
        before = self.appended
        for _ in range(seconds):
            for publisher in self.publishers:
                publisher.publish()
            self.fabric.clock.advance(1)
            (deliver or _invoke)(self.fabric)
        return self.appended - before

    @property
    def appended(self) -> int:
        return sum(publisher.appended for publisher in self.publishers)

    @property
    def behind(self) -> int:
        return self.fabric.log.tail(LANE).sequence - self.fabric.cursor().sequence


def _invoke(fabric: SubscribedStream) -> None:
    fabric.relay_all()
    fabric.deliver_all()


def _relay_alone(fabric: SubscribedStream) -> None:
    fabric.relay_all()


def test_a_subscription_that_keeps_up_holds_nobody_back() -> None:
    world = World()
    assert world.go_on(60) == pytest.approx(2 * WANTED * 60, rel=0.05)
    assert world.behind == 0


def test_publishers_are_held_back_by_one_that_is_dead_and_share_what_there_is_when_it_is_back() -> None:
    world = World()
    assert world.go_on(60, deliver=_relay_alone) <= 10 * 2 * WANTED * 1.1
    assert world.go_on(60, deliver=_relay_alone) == 0
    _invoke(world.fabric)
    before = [publisher.appended for publisher in world.publishers]
    assert world.go_on(120) >= 0.95 * 2 * WANTED * 120
    first, second = (
        publisher.appended - appended for publisher, appended in zip(world.publishers, before, strict=True)
    )
    assert first == pytest.approx(second, rel=0.2)
    assert sorted(world.fabric.recorder.ids()) == sorted(world.fabric.logged_ids())


@pytest.mark.parametrize(("while_paused", "goes_on"), [(WhilePaused.PASS, True), (WhilePaused.HOLD, False)])
def test_a_pause_holds_publishers_back_only_if_that_is_wanted(
    *, while_paused: WhilePaused, goes_on: bool
) -> None:
    world = World(Backpressure(while_paused=while_paused))
    assert world.operator.pause("maintenance")
    world.go_on(60)
    appended = world.go_on(60)
    assert appended == pytest.approx(2 * WANTED * 60 if goes_on else 0, rel=0.05)
    assert world.operator.resume()
    world.go_on(10)
    assert world.go_on(60) == pytest.approx(2 * WANTED * 60, rel=0.05)
    assert world.behind == 0


@pytest.mark.parametrize("seed", range(5))
def test_after_any_faults_publishers_go_on(seed: int) -> None:
    world = World()
    fabric = world.fabric

    def fail(fabric: SubscribedStream) -> None:
        try:
            fabric.relay()
            fabric.answer(fabric.receive())
        except (SimulatedCrash, PortError):
            fabric.clock.advance(60)

    fabric.faults.rules.append(at_random(0.2, tuple(Fault), seed=seed))
    world.go_on(60, deliver=fail)
    fabric.faults.heal()
    _invoke(fabric)
    world.go_on(20)
    assert world.go_on(60) == pytest.approx(2 * WANTED * 60, rel=0.05)
    assert set(fabric.recorder.ids()) == set(fabric.logged_ids())
