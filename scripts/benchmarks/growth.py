"""Growth of each cost with the size of batches and the number of lanes, keys, Regions and records."""

from functools import partial
from math import ceil, log2

from eventfabric import limits
from scripts.benchmarks import cost
from scripts.benchmarks.measure import Contender, Plot, Section, compare
from scripts.benchmarks.publish import Load

BATCHES = (1, 2, 5, 10, 20, 50, 100, 200, 500)
KEYS = (10, 100, 1_000, 10_000, 100_000)
LANES = (1, 4, 16, 64, 256, 1_024)
RECORDS = (100, 1_000, 10_000, 100_000, 1_000_000)


def bench(*, quick: bool) -> Section:
    """Measure CPU, and compute prices and reads. `quick` takes fewer rounds."""
    load = Load(records_per_lane=1)
    rounds, events = (1, 2_000) if quick else (3, 10_000)
    by_batch = compare(
        [
            Contender(f"{batch}", partial(load.publish_in_batches, batch, min(events, 200 * batch)))
            for batch in BATCHES
        ],
        rounds=rounds,
    )
    by_keys = compare(
        [Contender(f"{keys}", partial(load.publish_of_keys, keys, events)) for keys in KEYS], rounds=rounds
    )
    plots = [
        Plot(
            "cpu-batch",
            "CPU to publish an event",
            "events in a record",
            "microseconds",
            {"publisher": [(b, f.cpu_us_per_event) for b, f in zip(BATCHES, by_batch, strict=True)]},
        ),
        Plot(
            "cpu-keys",
            "CPU to publish an event, records of 500",
            "keys",
            "microseconds",
            {"publisher": [(k, f.cpu_us_per_event) for k, f in zip(KEYS, by_keys, strict=True)]},
        ),
        *_computed(),
    ]
    return Section(
        "growth",
        [],
        [],
        ["reads of the log are counted in tests/performance and tests/unit, and calculated here"],
        _table(plots),
        plots,
    )


def _computed() -> list[Plot]:
    """Draw what is worked out by prices and by counts of reads."""
    bus = cost.alternatives()["EventBridge + SQS + Powertools Idempotency"]
    return [
        Plot(
            "cost-batch",
            "A million events of 256 bytes",
            "events in a record",
            "US dollars",
            {
                "eventfabric": [(batch, cost.ours(batch)) for batch in BATCHES],
                "EventBridge + SQS + Idempotency": [(batch, bus) for batch in (BATCHES[0], BATCHES[-1])],
            },
        ),
        Plot(
            "cost-lanes",
            "A million events, 500 a second, by lanes",
            "lanes",
            "US dollars",
            {
                f"records of {batch}": [(lanes, cost.ours(batch, lanes=lanes)) for lanes in LANES]
                for batch in (1, 100)
            },
        ),
        Plot(
            "cost-regions",
            "A million events, by Regions that keep them",
            "Regions",
            "US dollars",
            {
                f"records of {batch}": [(n, cost.ours(batch, regions=n)) for n in (1, 2, 3)]
                for batch in (1, 100)
            },
        ),
        Plot(
            "reads-log",
            "Reads of the log, by what a lane holds",
            "records of the lane",
            "reads",
            {
                "append, deliver: a run": [(records, 1) for records in RECORDS],
                "reconcile: a pass, nothing new": [(records, 1) for records in RECORDS],
                "replay from a time": [(records, ceil(log2(500 * records))) for records in RECORDS],
                "prove": [(records, ceil(records / limits.PAGE_RECORDS_MAX)) for records in RECORDS],
            },
        ),
    ]


def _table(plots: list[Plot]) -> list[list[str]]:
    """Return where each line of the plots begins and ends."""
    table = [["what", "from", "to", "costs", "to"]]
    for plot in plots:
        for name, points in plot.lines.items():
            (x, y), (to_x, to_y) = points[0], points[-1]
            table.append(
                [
                    f"{plot.title}: {name}",
                    f"{x:,} {plot.x}",
                    f"{to_x:,}",
                    f"{y:,.3g} {plot.y}",
                    f"{to_y:,.3g}",
                ]
            )
    return table
