"""Output of the command line: tables and sentences for people, JSON for programs, one sentence for a failure.

Keys, types, ids, headers and errors contain whatever a producer or a handler chose. All text passes `safe` or
`_json_text` on its way out, so that nothing in it can move the terminal's cursor, change the direction of writing,
imitate another line, or be invisible.
"""

import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from textwrap import wrap
from typing import Any, Final

from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.table import Table
from rich.text import Text


class ClosedPipeError(Exception):
    """The reader of the output has gone."""


class _Output(Console):
    def on_broken_pipe(self) -> None:
        raise ClosedPipeError


# Without markup and names of emojis: brackets and colons in a key are only text.
stdout = _Output(markup=False, highlight=False, emoji=False)
stderr = Console(stderr=True, markup=False, highlight=False, emoji=False)
_PIPE_COLUMNS = 100_000
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]")


def safe(text: str, *, keep: str = "") -> str:
    """Escape every character that is not printable, as Python does, except those in `keep`.

    Not printable are control characters, direction marks, characters without width, lone surrogates, and all spaces
    and line ends other than " ".
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in keep else _python_escape(character)
        for character in text
    )


def _python_escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def say(message: str) -> None:
    """Print a sentence for people, unwrapped and unbuffered."""
    _put(safe(message))


def say_lines(text: str) -> None:
    """Print lines that contain no text of a producer, such as a page of help."""
    _put(safe(text, keep="\n"))


def show_json(value: Any) -> None:
    """Print a value for programs, on one line, unbuffered. JSON text in it (msgspec.Raw) is printed unchanged."""
    _put(_json_text(value))


def show_document(value: Any) -> None:
    """Print a value for people, as indented JSON. JSON text in it (msgspec.Raw) keeps all digits of its numbers."""
    import msgspec

    text = _json_text(value)
    with suppress(RecursionError):  # nested too deeply to be indented
        text = msgspec.json.format(text, indent=2)
    stdout.print(JSONHighlighter()(Text(text)), soft_wrap=True)


def _json_text(value: Any) -> str:
    """Encode as JSON on one line, escaping what is not printable and what the output's encoding may lack."""
    import msgspec

    # In JSON, raw line ends and tabs occur only between tokens, so this changes no value.
    text = msgspec.json.encode(value).decode().replace("\r", " ").replace("\n", " ").replace("\t", " ")
    if not text.isprintable():  # only within strings, where an escape means the same
        text = "".join(
            character if character.isprintable() else _json_escape(character) for character in text
        )
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text if encoding.lower() == "utf-8" else _NOT_ASCII.sub(lambda match: _json_escape(match[0]), text)


def _json_escape(character: str) -> str:
    pairs = character.encode("utf-16-be").hex()
    return "".join(f"\\u{pairs[start : start + 4]}" for start in range(0, len(pairs), 4))


def show_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, or_records: bool = False
) -> None:
    """Print a table for people, numbers aligned right. The first column is never folded; in a pipe, no column is.

    `or_records`: on a terminal that is too narrow for it, print each row as a paragraph instead.
    """
    table = Table(title=safe(title), title_justify="left", box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        numbers = bool(rows) and all(isinstance(row[index], int) for row in rows)
        table.add_column(column, justify="right" if numbers else "left", overflow="fold", no_wrap=not index)
    for row in rows:
        table.add_row(*map(_cell, row))
    console = stdout
    unbounded = stdout.options.update(width=_PIPE_COLUMNS)
    if or_records and stdout.is_terminal and stdout.measure(table, options=unbounded).maximum > stdout.width:
        say(title)
        for row in rows:
            _say_record(columns, [_cell(cell) for cell in row])
        return
    if not stdout.is_terminal:
        console = _Output(markup=False, highlight=False, emoji=False, width=_PIPE_COLUMNS)
    console.print(table)


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else safe(str(value))


def _say_record(columns: Sequence[str], cells: Sequence[str]) -> None:
    """Print a row as a paragraph: its first cell, then what it has in each column."""
    known = [f"{column} {cell}" for column, cell in zip(columns[1:], cells[1:], strict=True) if cell]
    text = f"{cells[0]}: {', '.join(known)}"
    for line in wrap(text, stdout.width, subsequent_indent="  ", break_on_hyphens=False):
        say(line)


def complain(message: str) -> None:
    """Print on standard error what is wrong."""
    # Some errors list problems on several lines: indented, none can be taken for a complaint of its own.
    text = safe(message, keep="\n").replace("\n", "\n  ")
    with suppress(BrokenPipeError):  # nobody reads standard error either
        print(f"eventfabric: {text}", file=sys.stderr)


def left_out(error: Exception) -> None:
    """Report that something cannot be read and is left out, while the rest is still shown."""
    complain(f"left out: {error}")


def let_go_of_output() -> None:
    """Discard output that is still buffered: otherwise Python complains at exit that it cannot be written."""
    with suppress(AttributeError, OSError, ValueError):  # standard output has no descriptor
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _put(line: str) -> None:
    """Print without buffering, because the reader of a pipe may be waiting. Raises ClosedPipeError."""
    try:
        print(line, flush=True)
    except BrokenPipeError as error:
        raise ClosedPipeError from error
