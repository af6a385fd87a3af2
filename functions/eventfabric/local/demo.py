"""Owns the demo: a load through a whole local fabric, with faults if wanted, and a verdict on what came of it.

Real handlers, real functions, two Regions, no AWS account. Exit code 0: every promise was kept; 1: one was not;
2: the arguments or the file are no good.
"""

import argparse
import logging
import sys
from collections import defaultdict
from collections.abc import Sequence as Seq
from pathlib import Path
from time import monotonic

from rich.console import Console

from eventfabric.definition_file import read_definition
from eventfabric.errors import EventFabricError
from eventfabric.local import demo_state
from eventfabric.local.chaos import CHAOS, Rates
from eventfabric.local.clock import RunningClock
from eventfabric.local.demo_load import Input, publish_all, read_events
from eventfabric.local.demo_report import Cost, Live, Report, as_json, print_report
from eventfabric.local.demo_verdict import charge_problems, replica_problems
from eventfabric.local.fabric import LocalFabric
from eventfabric.local.replicator import Replication
from eventfabric.model.event import Event
from eventfabric.sdk.publisher import Receipt
from eventfabric.topology import StreamTopology

BILLING_HANDLER = "subscribers.billing:charge"
_REPLICATION = Replication(delay_seconds_min=0.02, delay_seconds_max=0.1)
_EXAMPLE = """examples:
  scripts/demo                        the sample events through the sample definition
  scripts/demo --chaos --seed 7       the same under faults; the deliveries must come out the same
  scripts/demo --events mine.jsonl    your own CloudEvents, one JSON object a line
"""


def run(
    definition: Path,
    given: Input,
    *,
    faults: Rates | None = None,
    rings_again: bool = True,
    seed: int = 0,
    console: Console | None = None,
) -> Report:
    """Publish, deliver, recover, compare.

    Args:
        definition: path of the definition file; its first stream gets the events.
        given: the events.
        faults: how often each fault happens during the load; None: none.
        rings_again: ring for lanes whose doorbells the faults lost, as reconciliation does.
        seed: decides the faults.
        console: shows progress.
    """
    started = monotonic()
    read = read_definition(definition, check_handlers=True)
    with LocalFabric(read, clock=RunningClock(), replication=_REPLICATION, seed=seed) as fabric:
        stream = next(iter(fabric.topology.streams.values()))
        demo_state.make_tables(fabric)
        with Live(console or Console(quiet=True), fabric, len(given.events)) as live:
            load_started = monotonic()
            acknowledged = publish_all(fabric, stream, given.events, faults=faults, on_chunk=live.show)
            publish_seconds = monotonic() - load_started
            lanes = {receipt.lane for _, receipt in acknowledged}
            demo_state.settle(fabric)
            rung_again = demo_state.ring_again(fabric, stream, lanes) if faults and rings_again else 0
            live.show(len(given.events))
        cost = Cost.of(fabric)  # before the comparison, which reads a lot
        tails = demo_state.tails(fabric, stream, lanes)
        rows = demo_state.rows(fabric, stream, demo_state.published_of(fabric, stream, acknowledged), tails)
        problems = [problem for row in rows for problem in row.problems]
        problems += replica_problems(tails) + _charges(fabric, stream, acknowledged)
        return Report(
            events=len(acknowledged),
            malformed=[str(error) for error in given.malformed],
            rows=rows,
            problems=problems,
            cost=cost,
            publish_seconds=publish_seconds,
            seconds=monotonic() - started,
            seed=seed,
            chaos=fabric.chaos.count if faults else None,
            rung_again=rung_again,
        )


def _charges(
    fabric: LocalFabric, stream: StreamTopology, acknowledged: Seq[tuple[Event, Receipt]]
) -> list[str]:
    """Whether the sample's billing charged every order once, where it is in the definition."""
    billing = [s for s in stream.subscriptions if s.definition.handler == BILLING_HANDLER]
    expected: defaultdict[str, list[str]] = defaultdict(list)
    for subscription in billing:
        types = subscription.definition.types
        for event, receipt in acknowledged:
            for region in fabric.regions:
                if (types is None or event.type in types) and subscription.delivers(receipt.origin, region):
                    expected[region].append(event.data["order"])
    return charge_problems(expected, demo_state.charges(fabric))


def main(arguments: Seq[str] | None = None) -> int:
    """Run the demo from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="scripts/demo",
        description="A load through a whole local fabric: two Regions, real functions, no AWS account.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--events", type=Path, default=Path("infra/sample/events.jsonl"), help="CloudEvents, one a line"
    )
    parser.add_argument(
        "--definition", type=Path, default=Path("infra/fabric.toml"), help="default: %(default)s"
    )
    parser.add_argument(
        "--chaos",
        action="store_true",
        help="lose, repeat and delay doorbells, crash functions, cut Regions apart",
    )
    parser.add_argument("--seed", type=int, default=0, help="decides the faults; default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    chosen = parser.parse_args(arguments)
    logging.getLogger("botocore").setLevel(logging.ERROR)
    try:
        given = read_events(chosen.events)
        for error in given.malformed:
            print(error, file=sys.stderr)
        report = run(
            chosen.definition,
            given,
            faults=CHAOS if chosen.chaos else None,
            seed=chosen.seed,
            console=Console(stderr=True),
        )
    except (EventFabricError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    if chosen.json:
        print(as_json(report))
    else:
        print_report(report, Console())
    return 0 if report.ok else 1


if __name__ == "__main__":
    raise SystemExit(main())
