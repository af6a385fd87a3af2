"""Passes of reconciliation over a large stream: their calls, counted, and the time that these take, simulated.

What simulated time leaves out is the processor: so the cost of a call is measured, and all calls are added one after
another, as if nothing of it happened while a call waits. Twice the measured cost, since there is no TLS here, and a
Lambda vCPU is no faster than this machine's.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from eventfabric.aws.clients import Clients
from eventfabric.aws.ledger import AwsLedger
from eventfabric.aws.system import SystemClock, SystemEntropy
from eventfabric.model import LaneKey, SubscriptionName
from eventfabric.services.lanes.standing import lanes_of
from eventfabric.services.reconciliation import pass_bounds
from eventfabric.services.reconciliation.reconcile import PassOrder, Reconciler
from eventfabric.telemetry import NoTelemetry
from scripts.benchmarks.large_stream import HOME, STREAM, LargeStream
from scripts.benchmarks.measure import Contender, Section, Target, compare
from scripts.benchmarks.null_endpoint import REGION, NullEndpoint, session

SECONDS_MAX = 300
_CPU_FACTOR = 2
_PASS_SECONDS = 300


@dataclass(frozen=True)
class TimedPass:
    """One pass: its calls, and the simulated seconds that it took."""

    name: str
    calls: Counter[str]
    seconds: float

    def with_cpu(self, cpu_us: float) -> float:
        """Return the seconds of the pass if none of its calls' CPU is spent while another call waits."""
        return self.seconds + sum(self.calls.values()) * _CPU_FACTOR * cpu_us / 1e6


def passes(stream: LargeStream) -> list[TimedPass]:
    """Make three passes: of which everything is new, after an hour in which nothing was, and five minutes later."""
    orders = {
        "everything is new": PassOrder(repair=True),
        "all state is read": PassOrder(repair=True),
        "all lanes rest": PassOrder(repair=True, thorough=False),
    }
    timed = []
    for name, order in orders.items():
        stream.advance(_PASS_SECONDS)
        stream.calls.clear()
        reconciler = Reconciler(
            stream.stream,
            region=HOME,
            ports=stream.ports(),
            telemetry=NoTelemetry(),
            side_by_side=stream.side_by_side(pass_bounds.PASS_THREADS),
        )
        findings, seconds = stream.timed(partial(_findings, reconciler, order))
        if findings:
            raise AssertionError(f"found {findings} findings where nothing is wrong")
        timed.append(TimedPass(name, Counter(stream.calls), seconds))
    return timed


def bench(*, quick: bool) -> Section:
    """Make the passes. `quick`: over an eighth of the lanes."""
    lanes, subscriptions = 512 if quick else 4_096, 10
    cpu_us = _cpu_us_of_a_call(rounds=2 if quick else 5)
    table = [["delivers", "pass", "calls", "of these to other Regions", "seconds", "with CPU"]]
    targets: list[Target] = []
    for deliver in ("origin", "everywhere"):
        for timed in passes(LargeStream(lanes=lanes, subscriptions=subscriptions, deliver=deliver)):
            remote = sum(count for name, count in timed.calls.items() if name.startswith("remote"))
            seconds = timed.with_cpu(cpu_us)
            calls = sum(timed.calls.values())
            table.append(
                [deliver, timed.name, f"{calls:,}", f"{remote:,}", f"{timed.seconds:.0f}", f"{seconds:.0f}"]
            )
            targets.append(
                Target(f"a pass, {deliver}, {timed.name}, with CPU", seconds, SECONDS_MAX, "seconds")
            )
    return Section(
        f"passes over {lanes:,} lanes x {subscriptions} subscriptions x 3 Regions, as one Region makes them",
        [],
        targets,
        [
            "a call takes 5 ms in the Region and 80 ms to another one, by a simulated clock; "
            f"{pass_bounds.PASS_THREADS} are under way at the same time",
            f"a read of a lane's state costs {cpu_us:.0f} us of CPU here, without socket and TLS: twice that is added",
        ],
        table,
    )


def _findings(reconciler: Reconciler, order: PassOrder) -> int:
    return len(list(reconciler.make(order)))


def _cpu_us_of_a_call(*, rounds: int) -> float:
    """Measure the CPU of the call that passes make most: a read of a lane's state for a subscription."""
    endpoint = NullEndpoint()
    client = Clients(REGION, session=session()).dynamodb
    endpoint.attach(client, b'{"Items": [], "Count": 0}')
    ledger = AwsLedger(
        client, lambda name: "bench-ledger", HOME, clock=SystemClock(), entropy=SystemEntropy()
    )
    lane = lanes_of(LargeStream(lanes=1, subscriptions=1).stream)[0]
    key = LaneKey(STREAM, SubscriptionName("s0"), lane)

    def read(times: int) -> int:
        for _ in range(times):
            ledger.state(key)
        return times

    reads: Callable[[], int] = partial(read, 500)
    (figure,) = compare([Contender("a read of a lane's state", reads)], rounds=rounds)
    return figure.cpu_us_per_event
