"""Functions of a subscription with `concurrency = "auto"`: as many attempts at the same time as the limit allows."""

import subprocess
import sys
from contextlib import suppress
from threading import Lock

import pytest

from eventfabric import Delivery, Event
from eventfabric.definition.file import parse_definition
from eventfabric.errors import ThrottledError
from eventfabric.runtime.threads import Threads
from eventfabric.runtime.wiring import Runtime
from eventfabric.services.delivery.limiter import Limiter
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.clock import MemoryClock
from eventfabric.testing.memory.faults import Faults
from eventfabric.topology import Topology
from tests.handlers.test_functions import US, InvokedFunctions
from tests.handlers.test_lanes_at_once import LANES, keys_of_lanes
from tests.support.memory_fabric import Counting

AUTO = 'concurrency = "auto"\nconcurrency_max = 8'


def topology(concurrency: str) -> Topology:
    return Topology(
        parse_definition(
            f'[fabric]\nname = "shop"\nregions = ["{US}"]\n[streams.orders]\nlanes = {LANES}\n'
            f'[subscriptions.all]\nstream = "orders"\nhandler = "subscribers.any:handle"\n{concurrency}\n'
        )
    )


class Warm(InvokedFunctions):
    """One function instance, invoked again and again, that knows how many attempts are under way in it."""

    def __init__(self, concurrency: str = AUTO) -> None:
        self._lock, self.inside, self.most = Lock(), 0, 0
        self._runtime: Runtime | None = None
        telemetry = Counting()
        super().__init__(topology=topology(concurrency), telemetry=telemetry, side_by_side_of=Threads)
        self.counted = telemetry

    def runtime(self, subscription: str | None) -> Runtime:
        if subscription is None:
            return super().runtime(None)
        self._runtime = self._runtime or super().runtime(subscription)
        return self._runtime

    def handle(self, event: Event, delivery: Delivery) -> None:
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        try:
            super().handle(event, delivery)
        finally:
            with self._lock:
                self.inside -= 1

    @property
    def limiter(self) -> Limiter:
        (limiter, *others) = {deliverer.limiter for deliverer in self.runtime("all").deliverers}
        assert others == [], "all lanes of a function share a limit"
        assert limiter is not None
        return limiter

    def publish(self, keys: list[str]) -> None:
        for key in keys:
            self.fabric.publish("orders", key=key, type="placed", id=f"{key} {len(self.seen)}")
        self.relay()

    def drain(self) -> None:
        for _ in range(30):
            self.clock.advance(1_000)
            assert self.deliver() == []
        assert len(self.queue) == 0


def test_it_begins_with_one_attempt_at_a_time_whatever_lanes_are_rung() -> None:
    functions = Warm()
    functions.publish(keys_of_lanes(6))
    assert functions.deliver() == []
    assert (len(functions.seen), functions.most) == (6, 1)


def test_it_learns_from_invocation_to_invocation_and_stays_within_its_bound() -> None:
    functions = Warm()
    limits = []
    for _ in range(12):
        functions.publish([f"k{number}" for number in range(40)])
        functions.drain()
        limits.append(functions.limiter.limit)
    assert limits == sorted(limits)
    assert functions.most <= limits[-1] <= 8
    assert limits[-1] > 1
    assert len(functions.seen) == 12 * 40


def test_each_invocation_reports_the_limit() -> None:
    functions = Warm()
    functions.publish(["a"])
    functions.drain()
    assert (Metric.CONCURRENCY_LIMIT, None) in functions.counted.gauges


@pytest.mark.parametrize("concurrency", ["", "concurrency = 4"])
def test_a_fixed_number_is_reported_by_nobody_and_makes_no_limiter(concurrency: str) -> None:
    functions = Warm(concurrency)
    functions.publish(["a", "b"])
    functions.drain()
    assert all(deliverer.limiter is None for deliverer in functions.runtime("all").deliverers)
    assert not any(metric is Metric.CONCURRENCY_LIMIT for metric, _ in functions.counted.gauges)


def test_a_limit_costs_no_call() -> None:
    def calls(concurrency: str) -> list[str]:
        functions = Warm(concurrency)
        functions.faults = Faults()
        functions.publish(["a"])
        functions.drain()
        return functions.faults.calls

    assert calls(AUTO) == calls("")


def test_a_function_with_a_fixed_number_imports_no_limiter() -> None:
    program = "import sys, eventfabric.handlers.deliver; print([m for m in sys.modules if 'limit' in m])"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "limiter" not in ran.stdout
    assert "adaptive" not in ran.stdout


class Refusal(Exception):
    """An error of the handler."""


@pytest.mark.parametrize(
    ("error", "is_permanent", "counts"),
    [
        (Refusal(), False, True),
        (Refusal(), True, False),
        (ThrottledError("commit", "too much"), False, False),
    ],
)
def test_only_failures_that_may_be_overload_shrink_the_limit(
    error: Exception, is_permanent: bool, counts: bool
) -> None:
    clock = MemoryClock()
    limiter = Limiter(8, clock=clock, telemetry=Counting())

    def attempt(failure: Exception | None) -> None:
        count = limiter.limit
        for _ in range(count):
            limiter.enter(clock.now_ms() + 1_000)
        with suppress(Refusal, ThrottledError), limiter.timed(lambda error: is_permanent):
            clock.advance(0.1)
            if failure is not None:
                raise failure
        for _ in range(count):
            limiter.leave()

    while limiter.limit < 2:
        attempt(None)
    for _ in range(3):
        attempt(error)
    assert (limiter.limit == 1) is counts


def test_an_attempt_waits_for_its_turn_until_its_deadline_at_most() -> None:
    clock = MemoryClock()
    limiter = Limiter(8, clock=clock, telemetry=Counting())
    limiter.enter(clock.now_ms() + 1_000)
    began_ms = clock.now_ms()
    limiter.enter(began_ms + 1_000)
    assert 1_000 <= clock.now_ms() - began_ms < 1_100
