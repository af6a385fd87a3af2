"""The end of the process: what was published and not yet appended gets a little time; what is lost is reported.

Without it the interpreter would wait for every thread, for minutes if an endpoint is gone, or drop events and say
nothing.
"""

import atexit
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from time import monotonic
from typing import Protocol
from weakref import ref

from eventfabric import limits
from eventfabric.deadline import call_within


class Unfinished(Protocol):
    """Owner of work that the end of a process may cut off."""

    def hurry(self) -> None:
        """Begin with all of the work."""
        ...

    def finish(self, until: float) -> None:
        """Wait for the work, until `until` on the monotonic clock."""
        ...

    def lost(self) -> int:
        """Return the number of events that are not published."""
        ...


_open: dict[int, Unfinished | ref[Unfinished]] = {}
_finalized_in = -1
"""The child process of multiprocessing whose end is looked after by its finalizers: it runs nothing of atexit."""


def opened(unfinished: Unfinished, *, as_long_as_held: bool = False) -> None:
    """Look after work at the end of the process until it is closed; `as_long_as_held`: only while somebody holds it."""
    number = id(unfinished)
    _open[number] = ref(unfinished, partial(_open.pop, number)) if as_long_as_held else unfinished
    _look_after_children()


def closed(unfinished: Unfinished) -> None:
    """Stop looking after work that is done. May be called from within garbage collection."""
    _open.pop(id(unfinished), None)


@contextmanager
def apart() -> Iterator[None]:
    """Look after no work that is opened in the block: it belongs to simulated processes, and ends with them."""
    before = set(_open)
    try:
        yield
    finally:
        for key in _open.keys() - before:
            del _open[key]


def _look_after_children() -> None:
    global _finalized_in
    util = sys.modules.get("multiprocessing.util")
    if util is not None and _finalized_in != os.getpid() and sys.modules["multiprocessing"].parent_process():
        util.Finalize(None, _end, exitpriority=0)
        _finalized_in = os.getpid()


@atexit.register
def _end() -> None:
    held = [entry() if isinstance(entry, ref) else entry for entry in list(_open.values())]
    unfinished = [work for work in held if work is not None]
    _open.clear()
    until = monotonic() + limits.EXIT_FLUSH_SECONDS
    try:
        for work in unfinished:
            work.hurry()
        for work in unfinished:
            call_within(until - monotonic(), work.finish, until)
    except (KeyboardInterrupt, SystemExit):
        pass  # somebody is in a hurry, by hand or by a signal's handler: what is left is reported below
    finally:
        _report_lost(unfinished)


def _report_lost(unfinished: Sequence[Unfinished]) -> None:
    lost = sum(work.lost() for work in unfinished)
    if lost:
        events = "1 event was" if lost == 1 else f"{lost:,} events were"
        print(
            f"eventfabric: {events} not published before the process ended; close publishers to be told why",
            file=sys.stderr,
        )
