"""Until when calls to services may take: what a verb has time for bounds each call that it makes."""

from contextvars import ContextVar, Token
from math import inf
from time import monotonic

_until: ContextVar[float] = ContextVar("eventfabric_calls_end", default=inf)


class CallsEnd:
    """Bounds the calls that this thread makes inside: none goes on once the seconds are over."""

    __slots__ = ("_seconds", "_token")
    _token: Token[float]

    def __init__(self, *, within_seconds: float) -> None:
        self._seconds = within_seconds

    def __enter__(self) -> None:
        self._token = _until.set(min(monotonic() + self._seconds, _until.get()))

    def __exit__(self, *_: object) -> None:
        _until.reset(self._token)


def seconds_left() -> float:
    """The time that a call may take by the innermost bound; infinite without one."""
    until = _until.get()
    return until if until == inf else until - monotonic()
