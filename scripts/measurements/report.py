"""Output of the measurements: a table for people, JSON for programs."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from scripts.measurements.figure import Figure


def as_json(figures: Sequence[Figure]) -> str:
    """Encode all figures as JSON, on one line."""
    return json.dumps(
        {
            "ok": all(figure.is_met for figure in figures),
            "figures": [{**asdict(figure), "kept": figure.is_met} for figure in figures],
        }
    )


def print_figures(figures: Sequence[Figure], console: Console) -> None:
    """Print a table, and below it the places to look at for each aim that was missed."""
    table = Table("", "measured", "aim", "", box=None)
    for column in table.columns[1:3]:
        column.justify = "right"
    for figure in figures:
        verdict = "" if not _aim(figure) else "[green]kept[/]" if figure.is_met else "[bold red]missed[/]"
        table.add_row(figure.name, _number(figure.measured), _aim(figure), verdict)
    console.print(table)
    for figure in figures:
        if not figure.is_met and figure.places:
            console.print(f"\n{figure.name}:", style="bold")
            for place in figure.places:
                console.print(f"  {place}", highlight=False, markup=False, soft_wrap=True)


def _aim(figure: Figure) -> str:
    if figure.at_most is not None:
        return f"<= {figure.at_most:g}"
    return "" if figure.at_least is None else f">= {figure.at_least:g}"


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"
