"""Timing: CPU of this process on one core, contenders taking turns, the best round of each."""

import gc
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import process_time


@dataclass(frozen=True)
class Contender:
    """Something to time. `run` returns the number of events that it handled."""

    name: str
    run: Callable[[], int]


@dataclass(frozen=True)
class Figure:
    """The measured cost of one contender."""

    name: str
    cpu_us_per_event: float

    @property
    def events_per_second(self) -> float:
        return 1e6 / self.cpu_us_per_event


@dataclass(frozen=True)
class Target:
    """A bound for a measured figure, which is kept or missed."""

    name: str
    measured: float
    bound: float
    unit: str
    at_least: bool = False

    @property
    def is_met(self) -> bool:
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound


@dataclass(frozen=True)
class Plot:
    """A plot of growth: lines through points (x, y). `file` is the name of its picture."""

    file: str
    title: str
    x: str
    y: str
    lines: dict[str, list[tuple[float, float]]]


@dataclass(frozen=True)
class Section:
    """The results of one benchmark."""

    title: str
    figures: list[Figure]
    targets: list[Target]
    notes: list[str]
    table: list[list[str]] = field(default_factory=list)
    """Rows of a table, the heading first, for benchmarks without figures."""
    plots: list[Plot] = field(default_factory=list)


def pin_to_one_core() -> None:
    """Pin this process to one core, if the system allows it, so that threads do not run in parallel."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def compare(contenders: Sequence[Contender], *, rounds: int) -> list[Figure]:
    """Measure each contender's best round. They take turns, so that other load on the machine affects all of them."""
    best = [float("inf")] * len(contenders)
    gc.collect()
    gc.freeze()  # the prepared events are many, and no contender should pay for garbage collection of them
    for contender in contenders:
        contender.run()  # warms connections, caches and branch predictors
    for _ in range(rounds):
        for index, contender in enumerate(contenders):
            gc.collect()
            started = process_time()
            events = contender.run()
            best[index] = min(best[index], (process_time() - started) / events * 1e6)
    return [Figure(contender.name, best[index]) for index, contender in enumerate(contenders)]
