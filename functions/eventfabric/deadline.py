"""Time: how much of it a verb has left, which bounds each call to a service that it makes; and how much has gone by."""

from collections.abc import Callable
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from math import inf
from time import monotonic
from typing import ParamSpec, Protocol, TypeVar

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


class _Clocks(Protocol):
    """The clocks of a process, as ports.Clock has them."""

    def now_ms(self) -> int: ...

    def steady_ms(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment by both clocks: the wall clock may be set back, and the steady one stands still in a frozen function."""

    wall_ms: int
    steady_ms: int

    @classmethod
    def of(cls, clock: _Clocks) -> "Moment":
        """Return this moment."""
        return cls(clock.now_ms(), clock.steady_ms())

    def is_within(self, seconds: float, now: "Moment") -> bool:
        """Tell if less than that time has gone by, by both clocks."""
        # Less than 0: the wall clock was set back, and nobody knows how much time has gone by.
        return now.wall_ms >= self.wall_ms and self.seconds_until(now) < seconds

    def seconds_until(self, now: "Moment") -> float:
        """Return the seconds that have gone by at least: by the clock that says more."""
        return max(now.wall_ms - self.wall_ms, now.steady_ms - self.steady_ms) / 1000
