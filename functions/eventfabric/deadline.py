"""Until when calls to services may take: what a verb has time for bounds each call that it makes."""

from collections.abc import Callable
from contextvars import ContextVar, copy_context
from math import inf
from time import monotonic
from typing import ParamSpec, TypeVar

_until: ContextVar[float] = ContextVar("eventfabric_calls_end", default=inf)
_P = ParamSpec("_P")
_T = TypeVar("_T")


def call_within(seconds: float, call: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T:
    """Make a call in which no request goes on once the seconds are over; calls within one another keep the least.

    In a context of its own, which is left however the call ends: an interruption between two lines of a `with` would
    leave the bound behind, and fail all that the thread asks for later.
    """
    return copy_context().run(_bounded, seconds, call, arguments, named)


def _bounded(
    seconds: float, call: Callable[..., _T], arguments: tuple[object, ...], named: dict[str, object]
) -> _T:
    _until.set(min(monotonic() + seconds, _until.get()))
    return call(*arguments, **named)


def seconds_left() -> float:
    """The time that a request may take by the innermost bound; infinite without one."""
    until = _until.get()
    return until if until == inf else until - monotonic()
