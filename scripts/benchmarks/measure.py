"""How things are timed: CPU of this process on one core, contenders in turns, the best round of each."""

import gc
import os
from collections.abc import Callable
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field
from time import process_time


@dataclass(frozen=True)
class Contender:
    """Something to time; `run` returns how many events it handled."""

    name: str
    run: Callable[[], int]


@dataclass(frozen=True)
class Figure:
    """What one contender costs."""

    name: str
    cpu_us_per_event: float

    @property
    def events_per_second(self) -> float:
        return 1e6 / self.cpu_us_per_event


@dataclass(frozen=True)
class Target:
    """A bound that a measured figure keeps or not."""

    name: str
    measured: float
    bound: float
    unit: str
    at_least: bool = False

    @property
    def kept(self) -> bool:
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound


@dataclass(frozen=True)
class Plot:
    """How something grows: lines through points (x, y). `file`: the name of its picture."""

    file: str
    title: str
    x: str
    y: str
    lines: dict[str, list[tuple[float, float]]]


@dataclass(frozen=True)
class Section:
    """What one benchmark found."""

    title: str
    figures: list[Figure]
    targets: list[Target]
    notes: list[str]
    table: list[list[str]] = field(default_factory=list)
    """Rows side by side, the head first, where there are no figures."""
    plots: list[Plot] = field(default_factory=list)


def pin_to_one_core() -> None:
    """Stay on one core, where the system lets us, so that threads do not run beside each other."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def compare(contenders: Seq[Contender], *, rounds: int) -> list[Figure]:
    """Each contender's best round. They take turns, so that what else the machine does meets all of them."""
    best = [float("inf")] * len(contenders)
    gc.collect()
    gc.freeze()  # the events to come are many, and no contender's to walk over
    for contender in contenders:
        contender.run()  # connections, caches and branch predictors warm
    for _ in range(rounds):
        for index, contender in enumerate(contenders):
            gc.collect()
            started = process_time()
            events = contender.run()
            best[index] = min(best[index], (process_time() - started) / events * 1e6)
    return [Figure(contender.name, best[index]) for index, contender in enumerate(contenders)]
