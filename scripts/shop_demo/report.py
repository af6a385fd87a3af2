"""Output of the demo: progress while it runs, and tables or JSON at its end."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from eventfabric.deployment.prices import PRICES_DATE, Prices
from eventfabric.testing.local.fabric import LocalFabric
from scripts.shop_demo.verdict import Row, percentile

_COUNTS = (
    "published",
    "delivered",
    "handled again",
    "duplicate doorbells",
    "missing",
    "dead",
    "behind",
    "out of order",
    "lag",
)
_ESTIMATE = f"""* On-demand prices of {PRICES_DATE}, us-east-1, of table writes (with replicas), table reads, queue
  requests (with polls of empty queues) and invocations. Not included: function time, storage, transfer, and the
  calls of handlers."""


@dataclass(frozen=True)
class Cost:
    """The calls that the fabric has made to AWS up to a moment, and their cost."""

    calls: dict[str, int]
    units: dict[str, int]
    dollars: float

    @classmethod
    def of(cls, fabric: LocalFabric) -> "Cost":
        """Compute the cost of a fabric so far, including its invocations."""
        units = Counter(fabric.meter.units)
        units[Prices.INVOCATION] = fabric.invocations
        dollars = sum(price.dollars(count) for price, count in units.items())
        return cls(dict(fabric.meter.calls.most_common()), {p.unit: n for p, n in units.items()}, dollars)


@dataclass(frozen=True)
class Report:
    """The results of a run. `problems` is empty if everything is right."""

    events: int
    malformed: Sequence[str]
    rows: Sequence[Row]
    problems: Sequence[str]
    cost: Cost
    publish_seconds: float
    seconds: float
    seed: int
    chaos: dict[str, int] | None
    rung_again: int

    @property
    def ok(self) -> bool:
        """True if the fabric kept its promises."""
        return not self.problems

    @property
    def dollars_per_million_events(self) -> float:
        """The estimated cost of a million events."""
        return self.cost.dollars / self.events * 1_000_000 if self.events else 0.0


def as_json(report: Report) -> str:
    """Encode the report as one JSON object."""
    rows: list[dict[str, Any]] = []
    for row in report.rows:
        fields = {name: value for name, value in vars(row).items() if name != "latencies_ms"}
        fields["dead"] = dict(row.dead)
        latency = {f"p{percent}": percentile(row.latencies_ms, percent / 100) for percent in (50, 99)}
        rows.append({**fields, "latency_ms": latency})
    return json.dumps(
        {
            "ok": report.ok,
            "problems": list(report.problems),
            "events": report.events,
            "malformed": list(report.malformed),
            "deliveries": rows,
            "chaos": report.chaos,
            "rung_again": report.rung_again,
            "seed": report.seed,
            "calls": report.cost.calls,
            "units": report.cost.units,
            "dollars_per_million_events": round(report.dollars_per_million_events, 2),
            "prices_date": PRICES_DATE,
            "seconds": round(report.seconds, 1),
        },
        indent=2,
    )


def print_report(report: Report, console: Console) -> None:
    """Print the report as tables, and the verdict as the last line."""
    for name in dict.fromkeys(row.subscription for row in report.rows):
        console.print(_deliveries(name, [row for row in report.rows if row.subscription == name]))
    for row in report.rows:
        if row.dead:
            console.print(_decided(row), soft_wrap=True, markup=False)
    console.print(_latencies(report))
    console.print(_calls(report))
    console.print(_ESTIMATE, soft_wrap=True)
    if report.chaos is not None:
        faults = ", ".join(f"{count} {name}" for name, count in report.chaos.items())
        console.print(f"Faults (seed {report.seed}): {faults}; Regions cut apart for the middle third.")
        console.print(f"Afterwards, {report.rung_again} lagging cursors were rung again.")
    per_second = report.events / report.publish_seconds if report.publish_seconds else 0.0
    console.print(
        f"{report.events:,} events published in {report.publish_seconds:.1f} s ({per_second:,.0f}/s, deliveries "
        f"running); {report.seconds:.1f} s in all."
    )
    _print_verdict(report, console)


def _print_verdict(report: Report, console: Console) -> None:
    for problem in report.problems:
        console.print(f"[red]{problem}[/red]")
    if report.ok:
        console.print(
            "[green]OK[/green]: nothing missing, nothing out of order, exactly_once happened once, Regions equal."
        )
    else:
        console.print(f"[red]FAILED[/red]: {len(report.problems)} problems.")


def _table(title: str) -> Table:
    return Table(
        title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 0), min_width=72
    )


def _deliveries(name: str, rows: Sequence[Row]) -> Table:
    table = _table(f"{name}, {rows[0].guarantee}")
    table.add_column("Region")
    for title in _COUNTS:
        table.add_column(title, justify="right")
    table.add_column("digest", no_wrap=True)
    for row in rows:
        numbers = (
            row.published,
            row.delivered,
            row.repeated,
            row.duplicate_doorbells,
            row.missing,
            sum(row.dead.values()),
            row.waiting,
            row.out_of_order,
            row.lag,
        )
        table.add_row(row.region, *(f"{number:,}" for number in numbers), row.digest[:8])
    return table


def _decided(row: Row) -> str:
    """Describe the events that a handler refused, which is not a problem of the fabric."""
    errors = ", ".join(f"{count:,} {error}" for error, count in sorted(row.dead.items()))
    return (
        f"{row.subscription} in {row.region}: its handler refused {errors}; {row.waiting:,} events of the same keys "
        "wait behind them. That is the handler's decision: dead letters do not count as missing."
    )


def _latencies(report: Report) -> Table:
    waits = "; includes time-outs, over which the clock skips" if report.chaos is not None else ""
    table = _table(f"Append to handled, milliseconds{waits}")
    table.add_column("subscription")
    for title in ("Region", "p50", "p99"):
        table.add_column(title, justify="left" if title == "Region" else "right")
    for row in report.rows:
        p50, p99 = (percentile(row.latencies_ms, share) for share in (0.50, 0.99))
        table.add_row(row.subscription, row.region, f"{p50:,}", f"{p99:,}")
    return table


def _calls(report: Report) -> Table:
    table = _table(f"AWS calls: about ${report.dollars_per_million_events:,.2f} per million events *")
    for title in ("call", "count"):
        table.add_column(title, justify="left" if title == "call" else "right")
    for call, count in report.cost.calls.items():
        table.add_row(call, f"{count:,}")
    table.add_section()
    for kind, count in report.cost.units.items():
        table.add_row(f"billed: {kind}s", f"{count:,}")
    return table


class Live:
    """Progress of a run: bars on a terminal, otherwise a plain line now and then."""

    def __init__(self, console: Console, fabric: LocalFabric, total: int) -> None:
        self._console, self._fabric, self._total = console, fabric, total
        self._progress = Progress(
            TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), console=console
        )
        self._tasks: dict[str, Any] = {}
        self._reported = 0

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._progress.start()
            self._tasks = {"published": self._progress.add_task("published", total=self._total)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._progress.stop()

    def show(self, published: int) -> None:
        """Show how far everything is."""
        counts = {"published": published}
        for name in self._fabric.topology.subscriptions:
            for region in self._fabric.regions:
                counts[f"{name} {region}"] = len(self._fabric.subscription(name).handled(region))
        if self._console.is_terminal:
            for name, count in counts.items():
                if name not in self._tasks:
                    self._tasks[name] = self._progress.add_task(name, total=None)
                self._progress.update(self._tasks[name], completed=count)
        elif published == self._total or published - self._reported >= self._total // 5:
            self._reported = published
            counted = ", ".join(f"{name} {count:,}" for name, count in counts.items())
            self._console.print(counted, soft_wrap=True)
