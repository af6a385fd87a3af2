"""Throughput in simulated time, by the number of lanes, each with a producer that publishes without pause."""

from scripts.benchmarks.measure import Section, Target
from scripts.benchmarks.simulated import lane_throughput

LANES = (1, 4, 16, 64, 256, 1024)


def bench(*, quick: bool) -> Section:
    """Simulate. `quick` stops at 64 lanes."""
    rates = {lanes: lane_throughput(lanes) for lanes in LANES if not quick or lanes <= 64}
    most = max(rates)
    share = (rates[most] / most) / (rates[4] / 4)
    table = [["lanes", "events/s handled", "a lane"]]
    table += [[f"{lanes:,}", f"{rate:,.0f}", f"{rate / lanes:.0f}"] for lanes, rate in rates.items()]
    return Section(
        "throughput, simulated: single events, a put of 5 ms after another in each lane",
        [],
        [Target(f"a lane of {most:,} / a lane of 4", share, 0.8, "times", at_least=True)],
        ["larger records multiply the number of events; more lanes multiply the number of records"],
        table,
    )
