"""How the command line speaks: tables and sentences for people, JSON for programs, one sentence for a failure."""

import json
import sys
from collections.abc import Sequence as Seq
from typing import Any

from rich.console import Console
from rich.table import Table

# No markup: keys, ids and types are whatever a producer chose, brackets included.
stdout = Console(markup=False, highlight=False)
stderr = Console(stderr=True, markup=False, highlight=False)
_PIPE_COLUMNS = 100_000


def say(message: str) -> None:
    """Print a sentence for people, unwrapped, at once: who reads it from a pipe may be waiting for it."""
    print(message, flush=True)


def show_json(value: Any) -> None:
    """Print a value for programs, on one line, at once; escaped where the output's encoding may lack a character."""
    print(json.dumps(value, ensure_ascii=sys.stdout.encoding.lower() != "utf-8"), flush=True)


def show_table(title: str, columns: Seq[str], rows: Seq[Seq[object]]) -> None:
    """Print a table for people; numbers stand to the right. The first column is never folded, and in a pipe none is."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        numbers = bool(rows) and all(isinstance(row[index], int) for row in rows)
        table.add_column(column, justify="right" if numbers else "left", overflow="fold", no_wrap=not index)
    for row in rows:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row))
    console = stdout if stdout.is_terminal else Console(markup=False, highlight=False, width=_PIPE_COLUMNS)
    console.print(table)


def complain(message: str) -> None:
    """Say on standard error what is wrong."""
    print(f"eventfabric: {message}", file=sys.stderr)
