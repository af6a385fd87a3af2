"""The acting handler: to which attempt of a simulated handler the running code belongs, if any.

    fake of an outside system ── effect("charge", key=...) ──> the event in hand, a turn, perhaps a fault

Imports nothing, so that fakes may import it.
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Protocol, TypeVar

T = TypeVar("T")


class Act(Protocol):
    """One attempt of a handler."""

    def call(self, name: str, effect: Callable[[], T], *, key: str | None = None) -> T:
        """Make a call to the outside, which may fail; see handling.Attempt."""


acting: ContextVar[Act | None] = ContextVar("eventfabric_act", default=None)
"""The attempt to which the running code belongs; None: it belongs to no handler."""


def effect(name: str, *, key: str | None = None) -> None:
    """Report an effect outside the fabric. Call it in the fakes that replace outside systems in a simulation.

    It counts as an effect of the event that is being handled, and the simulation may crash the process or lose the
    reply here. Elsewhere it does nothing.

    Args:
        name: what happens, such as "charge".
        key: idempotency key by which the outside system recognises a repetition: the same key twice is one effect.
    """
    act = acting.get()
    if act is not None:
        act.call(name, lambda: None, key=key)
