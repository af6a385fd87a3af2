"""Until when calls to services may take: what a verb has time for bounds each call that it makes."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf
from time import monotonic

_until: ContextVar[float] = ContextVar("eventfabric_calls_end", default=inf)


@contextmanager
def calls_end_within(seconds: float) -> Iterator[None]:
    """Bound the calls that this thread makes inside: none goes on once the seconds are over."""
    token = _until.set(min(monotonic() + seconds, _until.get()))
    try:
        yield
    finally:
        _until.reset(token)


def seconds_left() -> float:
    """The time that a call may take by the innermost bound; infinite without one."""
    until = _until.get()
    return until if until == inf else until - monotonic()
