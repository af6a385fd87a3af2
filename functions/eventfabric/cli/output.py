"""How the command line speaks: tables and sentences for people, JSON for programs, one sentence for a failure."""

import re
import sys
from collections.abc import Sequence as Seq
from contextlib import suppress
from typing import Any, Final

from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.table import Table
from rich.text import Text

# No markup: keys, ids and types are whatever a producer chose, brackets included.
stdout = Console(markup=False, highlight=False)
stderr = Console(stderr=True, markup=False, highlight=False)
_PIPE_COLUMNS = 100_000
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]")


def say(message: str) -> None:
    """Print a sentence for people, unwrapped, at once: who reads it from a pipe may be waiting for it."""
    print(message, flush=True)


def show_json(value: Any) -> None:
    """Print a value for programs, on one line, at once. JSON text within it (msgspec.Raw) goes out to the letter."""
    print(_json_text(value), flush=True)


def show_document(value: Any) -> None:
    """Print a value for people, as JSON on many lines. JSON text within it (msgspec.Raw) keeps each number's digits."""
    import msgspec

    text = _json_text(value)
    with suppress(RecursionError):  # nested too deep to be laid out
        text = msgspec.json.format(text, indent=2)
    stdout.print(JSONHighlighter()(Text(text)), soft_wrap=True)


def _json_text(value: Any) -> str:
    """JSON on one line, escaped where the output's encoding may lack a character."""
    import msgspec

    # In JSON an end of line stands between tokens only, so this changes no value.
    text = msgspec.json.encode(value).decode().replace("\r", " ").replace("\n", " ")
    return text if sys.stdout.encoding.lower() == "utf-8" else _NOT_ASCII.sub(_escaped, text)


def _escaped(character: re.Match[str]) -> str:
    pairs = character[0].encode("utf-16-be").hex()
    return "".join(f"\\u{pairs[at : at + 4]}" for at in range(0, len(pairs), 4))


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
