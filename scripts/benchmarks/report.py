"""Output of the benchmarks: tables for people, JSON for programs."""

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict

import boto3
from rich.console import Console
from rich.table import Table

from scripts.benchmarks.measure import Section


def as_json(sections: Sequence[Section]) -> str:
    """Encode everything that was measured as JSON, on one line."""
    return json.dumps(
        {
            "python": platform.python_version(),
            "boto3": boto3.__version__,
            "ok": all(target.is_met for section in sections for target in section.targets),
            "sections": [
                {**asdict(section), "targets": [{**asdict(t), "kept": t.is_met} for t in section.targets]}
                for section in sections
            ],
        }
    )


def print_tables(sections: Sequence[Section], console: Console) -> None:
    """Print a table of figures and one of targets for each section."""
    for section in sections:
        console.rule(section.title, align="left", style="dim")
        if section.figures:
            _print_figures(section, console)
        if section.table:
            table = Table(*section.table[0], box=None)
            for row in section.table[1:]:
                table.add_row(*row)
            console.print(table)
        for note in section.notes:
            console.print(f"  {note}", highlight=False, style="dim")
        _print_targets(section, console)


def _print_figures(section: Section, console: Console) -> None:
    table = Table("", "us an event", "events/s", "relative to the first", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    first = section.figures[0].cpu_us_per_event
    for figure in section.figures:
        times = f"{figure.cpu_us_per_event / first:.2f}"
        table.add_row(
            figure.name, f"{figure.cpu_us_per_event:.2f}", f"{figure.events_per_second:,.0f}", times
        )
    console.print(table)


def _print_targets(section: Section, console: Console) -> None:
    table = Table("target", "measured", "bound", "", box=None)
    for column in table.columns[1:3]:
        column.justify = "right"
    for target in section.targets:
        sign = ">=" if target.at_least else "<="
        verdict = "[green]kept[/]" if target.is_met else "[bold red]missed[/]"
        table.add_row(
            target.name, f"{target.measured:,.2f} {target.unit}", f"{sign} {target.bound:,g}", verdict
        )
    console.print(table)
