"""The command line of the benchmarks, `scripts/bench`. Exit code 1: a target was missed."""

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console

from scripts.benchmarks import (
    backfill,
    codec,
    cost,
    credits,
    deliver,
    endtoend,
    failures,
    growth,
    imports,
    latency,
    passes,
    publish,
    reconcile,
    throughput,
)
from scripts.benchmarks.measure import Section, pin_to_one_core
from scripts.benchmarks.report import as_json, print_tables
from scripts.install import ROOT


class Benchmark(StrEnum):
    """The benchmarks that can be chosen."""

    PUBLISH = "publish"
    DELIVER = "deliver"
    IMPORTS = "imports"
    FAILURES = "failures"
    RECONCILE = "reconcile"
    PASSES = "passes"
    BACKFILL = "backfill"
    CODEC = "codec"
    COST = "cost"
    MOTO = "moto"
    EMULATOR = "emulator"
    LATENCY = "latency"
    THROUGHPUT = "throughput"
    GROWTH = "growth"
    CREDITS = "credits"
    ALL = "all"


_BENCHES: dict[Benchmark, Callable[..., Section]] = {
    Benchmark.PUBLISH: publish.bench,
    Benchmark.DELIVER: deliver.bench,
    Benchmark.IMPORTS: imports.bench,
    Benchmark.FAILURES: failures.bench,
    Benchmark.RECONCILE: reconcile.bench,
    Benchmark.PASSES: passes.bench,
    Benchmark.BACKFILL: backfill.bench,
    Benchmark.CODEC: codec.bench,
    Benchmark.COST: cost.bench,
    Benchmark.MOTO: endtoend.bench_on_moto,
    Benchmark.EMULATOR: endtoend.bench_on_the_emulator,
    Benchmark.LATENCY: latency.bench,
    Benchmark.THROUGHPUT: throughput.bench,
    Benchmark.GROWTH: growth.bench,
    Benchmark.CREDITS: credits.bench,
}


def main(
    what: Annotated[list[Benchmark] | None, typer.Argument(help="Default: all of them.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer rounds: faster, with rougher figures.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    write: Annotated[
        bool, typer.Option("--write", help="Rewrite docs/performance.md; only with all.")
    ] = False,
) -> None:
    """Measure the cost of the client and the effects of failures, next to alternatives, in one run.

    Examples: scripts/bench publish --quick; scripts/bench all --write
    """
    wanted = list(_BENCHES) if not what or Benchmark.ALL in what else what
    if write and len(wanted) < len(_BENCHES):
        raise typer.BadParameter("--write needs all")
    pin_to_one_core()
    sections = []
    for benchmark in wanted:
        sections.append(_measured(benchmark, quick=quick))
        if not json:
            print_tables(sections[-1:], Console())
    if json:
        print(as_json(sections))
    if write:
        from scripts.benchmarks.page import write as write_page  # pygal takes a second to import

        write_page(sections, ROOT, quick=quick)
    if not all(target.is_met for section in sections for target in section.targets):
        raise typer.Exit(1)


def _measured(benchmark: Benchmark, *, quick: bool) -> Section:
    with Console(stderr=True).status(f"measuring {benchmark.value} ..."):
        return _BENCHES[benchmark](quick=quick)


typer.run(main)
