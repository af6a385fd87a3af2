"""One run of the demo: publish, deliver, recover, compare."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic

from rich.console import Console

from eventfabric.definition.file import read_definition
from eventfabric.model import Event
from eventfabric.sdk.bundle import Receipt
from eventfabric.testing.local.chaos import Rates
from eventfabric.testing.local.clock import RunningClock
from eventfabric.testing.local.fabric import LocalFabric
from eventfabric.testing.local.replicator import Replication
from scripts.shop_demo import state
from scripts.shop_demo.load import Input, publish_all
from scripts.shop_demo.report import Cost, Live, Report
from scripts.shop_demo.verdict import Decided, Published, charge_problems, replica_problems
from subscribers import tables

BILLING_HANDLER = "subscribers.billing:charge"
_REPLICATION = Replication(delay_seconds_min=0.02, delay_seconds_max=0.1)


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
        tables.make(fabric)
        with Live(console or Console(quiet=True), fabric, len(given.events)) as live:
            load_started = monotonic()
            acknowledged = publish_all(fabric, stream, given.events, faults=faults, on_chunk=live.show)
            publish_seconds = monotonic() - load_started
            lanes = {receipt.lane for _, receipt in acknowledged}
            state.settle(fabric)
            rung_again = state.ring_lagging(fabric, stream, lanes) if faults and rings_again else 0
            live.show(len(given.events))
        cost = Cost.of(fabric)  # before the comparison, whose reads must not count
        tails = state.tails(fabric, stream, lanes)
        published = state.published_of(fabric, stream, acknowledged)
        decided = {
            (subscription.name, region): state.decided(fabric, subscription, region, published)
            for subscription in stream.subscriptions
            for region in tails
        }
        rows = state.rows(fabric, stream, published, tails, decided)
        problems = [problem for row in rows for problem in row.problems]
        problems += replica_problems(tails) + _charges(fabric, acknowledged, published, decided)
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
    fabric: LocalFabric,
    acknowledged: Sequence[tuple[Event, Receipt]],
    published: Sequence[Published],
    decided_of: Mapping[tuple[str, str], Decided],
) -> list[str]:
    """Compare the charges of the sample's billing, if the definition has it, with the orders that it handled."""
    expected: defaultdict[str, list[str]] = defaultdict(list)
    for (name, region), decided in decided_of.items():
        subscription = fabric.topology.subscription(name)
        if subscription.definition.handler != BILLING_HANDLER:
            continue
        for (event, _), placed in zip(acknowledged, published, strict=True):
            if state.wants(subscription, placed, region) and placed.place not in decided:
                expected[region] += _orders_of(event)
    return charge_problems(expected, state.charges(fabric))


def _orders_of(event: Event) -> list[str]:
    """Read the order from an event, if it has one: a user's own file may contain anything."""
    data = event.data
    order = data.get("order") if isinstance(data, dict) else None
    return [order] if isinstance(order, str) else []
