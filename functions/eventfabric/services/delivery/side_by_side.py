"""Side by side: several calls at the same time, however whoever runs the process makes them."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

SideBySide: TypeAlias = Callable[[Sequence[Callable[[], None]]], None]
"""Caller of many calls at the same time. It returns when all have ended, and raises what one of them raised."""


def one_after_another(calls: Sequence[Callable[[], None]]) -> None:
    """Make calls one by one: the SideBySide for processes in which only one thing may happen at a time."""
    for call in calls:
        call()
