"""Deadlines of calls to services: the time that a verb has left bounds each call that it makes."""

from collections.abc import Callable
from contextvars import ContextVar, copy_context
from math import inf
from time import monotonic
from typing import ParamSpec, TypeVar

_until: ContextVar[float] = ContextVar("eventfabric_calls_end", default=inf)
_P = ParamSpec("_P")
_T = TypeVar("_T")


def call_within(seconds: float, call: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T:
    """Make a call in which no request goes on once `seconds` are over. Of nested bounds, the earliest applies.

    The bound is set in a context of its own, which is left however the call ends. A `with` block could be
    interrupted between two lines and leave the bound behind, and all later requests of the thread would fail.
    """
    return copy_context().run(_bounded, seconds, call, arguments, named)


def _bounded(
    seconds: float, call: Callable[..., _T], arguments: tuple[object, ...], named: dict[str, object]
) -> _T:
    _until.set(min(monotonic() + seconds, _until.get()))
    return call(*arguments, **named)


def seconds_left() -> float:
    """Return the seconds that a request may still take by the innermost bound; infinity without one."""
    until = _until.get()
    return until if until == inf else until - monotonic()
