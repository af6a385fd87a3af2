"""A hunt: tries many seeds in several processes, and yields each outcome as it comes. No process outlives the hunt.

    hunt ── seed 17 ──> worker ── outcome ──> the caller
         <── idle ─────          a worker that dies or does not end in time is replaced, and its seed has failed

An outcome depends on its seed alone, not on the number of workers or on what else runs; the order of outcomes does.
"""

import re
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from typing import Final, Protocol

from eventfabric.testing.simulation.outcome import SeedOutcome
from eventfabric.testing.simulation.worker import LostWorkerError, Worker, ready

SEED_SECONDS_MAX: Final = 300.0
"""Time after which a seed is given up. The longest take some seconds, and their number of steps is bounded."""
_RANGE: Final = re.compile(r"([0-9]+)(?:(\.\.)([0-9]*))?")
Try = Callable[[int], SeedOutcome]


class Progress(Protocol):
    """A display of a hunt's progress."""

    def step(self, outcome: SeedOutcome) -> None:
        """Count a seed that is done."""

    def say(self, text: str) -> None:
        """Show any other text."""


def seed_range(text: str) -> tuple[int, int | None]:
    """Parse "0..99", "17", or "5.." (None: no end) into the first and last seed. ValueError."""
    matched = _RANGE.fullmatch(text)
    if matched is None:
        raise ValueError(f"{text!r} is no range of seeds: 0..99, 17, or 5.. with --minutes")
    first = int(matched[1])
    if matched[2] is None:
        return first, first
    last = int(matched[3]) if matched[3] else None
    if last is not None and last < first:
        raise ValueError(f"{text!r} ends before it begins")
    return first, last


def hunt(
    seeds: Iterable[int],
    try_seed: Try,
    *,
    jobs: int,
    stop: Callable[[], bool] = lambda: False,
    seed_seconds_max: float = SEED_SECONDS_MAX,
) -> Generator[SeedOutcome, None, None]:
    """Yield the outcome of each seed. `try_seed` must be importable by name, or a functools.partial of such.

    `stop` is called before each seed: once it returns True, no seed is begun, and those that run are awaited.
    """
    left = iter(seeds)
    running = dict[Worker, int]()
    try:
        while True:
            while len(running) < jobs and (seed := _next(left, stop)) is not None:
                running[worker := Worker()] = seed
                worker.give(partial(try_seed, seed))
            if not running:
                return
            for worker in ready(list(running), seed_seconds_max):
                outcome = _outcome(worker, running[worker], seed_seconds_max)
                seed = _next(left, stop) if outcome.ended else None
                if seed is None:
                    del running[worker]
                    worker.end()
                else:
                    running[worker] = seed
                    worker.give(partial(try_seed, seed))
                yield outcome
    finally:
        for worker in running:
            worker.end()


def _next(seeds: Iterator[int], stop: Callable[[], bool]) -> int | None:
    return None if stop() else next(seeds, None)


def _outcome(worker: Worker, seed: int, seed_seconds_max: float) -> SeedOutcome:
    try:
        outcome: SeedOutcome = worker.answer(seed_seconds_max)
    except LostWorkerError as lost:
        return lost_outcome(seed, lost)
    return outcome


def lost_outcome(seed: int, lost: LostWorkerError) -> SeedOutcome:
    """Return the outcome of a seed whose process was lost."""
    return SeedOutcome(seed, broke=lost.broke, error=f"it {lost.why}", ended=False)
