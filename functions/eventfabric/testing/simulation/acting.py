"""Owns who acts: which handler of the simulation the code that runs now belongs to, if any.

    fake of what is outside ── effect("charge", key=...) ──> the event in hand, a turn, perhaps a fault

Imports nothing, so that fakes may.
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Protocol, TypeVar

T = TypeVar("T")


class Act(Protocol):
    """One attempt of a handler."""

    def call(self, name: str, effect: Callable[[], T], *, key: str | None = None) -> T:
        """Do something outside, as a call that may fail; see handling.Attempt."""


acting: ContextVar[Act | None] = ContextVar("eventfabric_act", default=None)
"""Whose attempt runs."""


def effect(name: str, *, key: str | None = None) -> None:
    """Say that something happens outside: for the fakes that stand for it where handlers are simulated.

    It counts as an effect of the event that is being handled, and is a place at which the simulation may crash the
    process or lose the reply. Elsewhere it does nothing.

    Args:
        name: what happens, such as "charge".
        key: by which the other side knows a repetition, its idempotency key: the same twice is one effect.
    """
    act = acting.get()
    if act is not None:
        act.call(name, lambda: None, key=key)
