"""Side by side: several calls at the same time, however whoever runs the process makes them."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias, TypeVar

T = TypeVar("T")
SideBySide: TypeAlias = Callable[[Sequence[Callable[[], None]]], None]
"""Caller of many calls at the same time. It returns when all have ended, and raises what one of them raised."""


def one_after_another(calls: Sequence[Callable[[], None]]) -> None:
    """Make calls one by one: the SideBySide for processes in which only one thing may happen at a time."""
    for call in calls:
        call()


def results_of(calls: Sequence[Callable[[], T]], side_by_side: SideBySide) -> list[T]:
    """Make many calls at the same time, and return their results in the order of the calls."""
    results: dict[int, T] = {}

    def make(number: int, call: Callable[[], T]) -> None:
        results[number] = call()

    side_by_side([partial(make, number, call) for number, call in enumerate(calls)])
    return [results[number] for number in range(len(calls))]
