"""Latency from publish to handler, in simulated time: with express, without it, and of a FIFO queue alone."""

from scripts.benchmarks.measure import Section, Target
from scripts.benchmarks.simulated import Arrivals, Timings, end_to_end, fifo_alone, percentile

LANES, PER_SECOND, PRODUCERS = 64, 500.0, 8
_SHARES = (0.5, 0.9, 0.99)


def bench(*, quick: bool) -> Section:
    """Simulate the three. `quick` simulates fewer seconds."""
    arrivals = Arrivals.at_rate(PER_SECOND, 4 if quick else 30)
    timings_by_way = {
        "eventfabric, express": end_to_end(arrivals, express=True, lanes=LANES, producers=PRODUCERS),
        "eventfabric, relay alone": end_to_end(arrivals, express=False, lanes=LANES, producers=PRODUCERS),
        "SQS FIFO alone": fifo_alone(arrivals, groups=LANES),
    }
    percentiles = {name: _percentiles(timings) for name, timings in timings_by_way.items()}
    express, alone = percentiles["eventfabric, express"], percentiles["SQS FIFO alone"]
    table = [["publish to handler, ms", "p50", "p90", "p99"]]
    table += [[name, *(f"{value:.0f}" for value in values)] for name, values in percentiles.items()]
    return Section(
        f"end to end, simulated: {PER_SECOND:g} publishes/s, {LANES} lanes, {PRODUCERS} producers",
        [],
        [
            Target("express, p50", express[0], 60, "ms"),
            Target("express, p99 beyond SQS FIFO's own", express[2] - alone[2], 100, "ms"),
        ],
        [
            "latencies of the services and their sources: scripts/benchmarks/simulated.py",
            "all three get the same arrivals, and the two with a queue are polled at the same times",
        ],
        table,
    )


def _percentiles(timings: Timings) -> list[float]:
    values = timings.latencies_ms()
    if len(values) != len(timings.published_us):
        raise AssertionError(f"{len(timings.published_us) - len(values)} events were not handled")
    return [percentile(values, share) for share in _SHARES]
