"""How the command line speaks: tables and sentences for people, JSON for programs, one sentence for a failure.

Keys, types, ids, headers and errors are whatever a producer or a handler chose. All text passes `safe` or `_json_text`
on its way out: nothing in it can move a terminal's cursor, turn its direction, pass for another line, or hide.
"""

import os
import re
import sys
from collections.abc import Sequence as Seq
from contextlib import suppress
from typing import Any, Final

from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.table import Table
from rich.text import Text


class ClosedPipeError(Exception):
    """Nobody reads the output any more."""


class _Output(Console):
    def on_broken_pipe(self) -> None:
        raise ClosedPipeError


# Neither markup nor the names of emojis: brackets and colons in a key mean nothing.
stdout = _Output(markup=False, highlight=False, emoji=False)
stderr = Console(stderr=True, markup=False, highlight=False, emoji=False)
_PIPE_COLUMNS = 100_000
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]")


def safe(text: str, *, keep: str = "") -> str:
    """Text as a terminal may get it: what is not printable is escaped as Python escapes it, but for `keep`.

    Those are control characters, marks of direction, characters without width, lone surrogates, and spaces and line
    ends other than " ".
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in keep else _python_escape(one) for one in text)


def _python_escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def say(message: str) -> None:
    """Print a sentence for people, unwrapped, at once."""
    _put(safe(message))


def say_lines(text: str) -> None:
    """Print lines that hold nothing of a producer's, such as a page of help."""
    _put(safe(text, keep="\n"))


def show_json(value: Any) -> None:
    """Print a value for programs, on one line, at once. JSON text within it (msgspec.Raw) goes out to the letter."""
    _put(_json_text(value))


def show_document(value: Any) -> None:
    """Print a value for people, as JSON on many lines. JSON text within it (msgspec.Raw) keeps each number's digits."""
    import msgspec

    text = _json_text(value)
    with suppress(RecursionError):  # nested too deep to be laid out
        text = msgspec.json.format(text, indent=2)
    stdout.print(JSONHighlighter()(Text(text)), soft_wrap=True)


def _json_text(value: Any) -> str:
    """JSON on one line, escaped where a character is not printable, or the output's encoding may lack it."""
    import msgspec

    # In JSON an end of line or a tab stands between tokens only, so this changes no value.
    text = msgspec.json.encode(value).decode().replace("\r", " ").replace("\n", " ").replace("\t", " ")
    if not text.isprintable():  # within strings only, where an escape is the same value
        text = "".join(one if one.isprintable() else _json_escape(one) for one in text)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text if encoding.lower() == "utf-8" else _NOT_ASCII.sub(lambda one: _json_escape(one[0]), text)


def _json_escape(character: str) -> str:
    pairs = character.encode("utf-16-be").hex()
    return "".join(f"\\u{pairs[at : at + 4]}" for at in range(0, len(pairs), 4))


def show_table(title: str, columns: Seq[str], rows: Seq[Seq[object]]) -> None:
    """Print a table for people; numbers stand to the right. The first column is never folded, and in a pipe none is."""
    table = Table(title=safe(title), title_justify="left", box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        numbers = bool(rows) and all(isinstance(row[index], int) for row in rows)
        table.add_column(column, justify="right" if numbers else "left", overflow="fold", no_wrap=not index)
    for row in rows:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else safe(str(cell)) for cell in row))
    console = stdout
    if not stdout.is_terminal:
        console = _Output(markup=False, highlight=False, emoji=False, width=_PIPE_COLUMNS)
    console.print(table)


def complain(message: str) -> None:
    """Say on standard error what is wrong."""
    # Errors that list problems have lines; none of them can pass for a complaint of its own.
    said = safe(message, keep="\n").replace("\n", "\n  ")
    with suppress(BrokenPipeError):  # nobody reads that either
        print(f"eventfabric: {said}", file=sys.stderr)


def left_out(error: Exception) -> None:
    """Say that something cannot be read, and is left out: the rest is gone through all the same."""
    complain(f"left out: {error}")


def let_go_of_output() -> None:
    """Have what is still unwritten go nowhere: at its end the interpreter would complain that it cannot be written."""
    with suppress(AttributeError, OSError, ValueError):  # no descriptor stands behind it
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _put(line: str) -> None:
    """Print at once: who reads from a pipe may be waiting for it. ClosedPipeError."""
    try:
        print(line, flush=True)
    except BrokenPipeError as error:
        raise ClosedPipeError from error
