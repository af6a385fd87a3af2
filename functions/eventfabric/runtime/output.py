"""Output of a function's lines: standard output as it was at the start, whatever a handler does to it later.

A handler may close or replace `sys.stdout`: `redirect_stdout` in two threads at the same time leaves a closed one
behind. The fabric's own lines must not fail because of that, least of all after a commit.
"""

import os
import sys
from contextlib import suppress
from logging import Handler, LogRecord
from threading import Lock

from eventfabric.copies import when_forked

_STREAMS = ("stdout", "stderr")


class Output:
    """Writer of lines to standard output. Never raises: a line that cannot be written is lost, and no event with it."""

    def __init__(self, descriptor: int | None = None) -> None:
        """`descriptor`: where to write; None: to what `sys.stdout` is at that time."""
        self._descriptor = descriptor
        self._begin()
        when_forked(self._begin)

    def _begin(self) -> None:
        self._lock = Lock()

    def write(self, line: str) -> None:
        """Write a line; its end is added."""
        with suppress(OSError, ValueError, AttributeError):  # full, closed, or none at all
            if self._descriptor is None:
                sys.stdout.write(f"{line}\n")
                sys.stdout.flush()
                return
            remaining = memoryview(f"{line}\n".encode("utf-8", "backslashreplace"))
            with self._lock:
                while remaining:
                    remaining = remaining[os.write(self._descriptor, remaining) :]


class OutputHandler(Handler):
    """Handler that writes log records to an Output."""

    def __init__(self, output: Output) -> None:
        super().__init__()
        self._output = output

    def emit(self, record: LogRecord) -> None:
        """See logging.Handler."""
        try:
            line = self.format(record)
        except Exception as error:  # the record may hold anybody's object
            line = (
                f'{{"level":"{record.levelname}","message":"a line cannot be told: {type(error).__name__}"}}'
            )
        self._output.write(line)


class KeptStreams:
    """Standard output and error of the process as they are now, kept for when somebody closes them."""

    def __init__(self) -> None:
        self._descriptors = {name: _copied(name) for name in _STREAMS}

    @property
    def output(self) -> Output:
        """Writer to what is standard output now."""
        return Output(self._descriptors["stdout"])

    def reopen(self) -> None:
        """Replace a stream that was left closed, so that what handlers print does not fail either."""
        for name, descriptor in self._descriptors.items():
            if descriptor is not None and _is_closed(name):
                copy = os.dup(descriptor)
                setattr(sys, name, os.fdopen(copy, "w", 1, encoding="utf-8", errors="backslashreplace"))


def _copied(name: str) -> int | None:
    try:
        return os.dup(getattr(sys, name).fileno())
    except (OSError, ValueError, AttributeError):  # a stream without a descriptor, or none
        return None


def _is_closed(name: str) -> bool:
    stream = getattr(sys, name, None)
    try:
        return stream is None or getattr(stream, "closed", False) is True
    except Exception:  # something that was put in the place of the stream on purpose
        return False
