"""Owns a hunt: many seeds in several processes, each outcome yielded as it comes; none of them outlives the hunt.

    hunt ── seed 17 ──> worker ── outcome ──> whoever iterates
         <── idle ─────          a worker that dies or does not end in time is replaced, and its seed has failed

An outcome depends on its seed alone, whatever the number of workers and whoever else runs; their order does.
"""

import re
import signal
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Final

from eventfabric.simulation.trial import Outcome

SEED_SECONDS_MAX: Final = 300.0
"""After which a seed is given up: the longest take some seconds, and their number of steps is bounded."""
_JOIN_SECONDS: Final = 10.0
# Begun anew and not forked: no lock and no thread of whoever hunts comes along.
_CONTEXT: Final = get_context("spawn")

_RANGE: Final = re.compile(r"([0-9]+)(?:(\.\.)([0-9]*))?")
Try = Callable[[int], Outcome]


def seed_range(text: str) -> tuple[int, int | None]:
    """The first and last seed of "0..99", "17", or "5.." (None: no end); ValueError."""
    found = _RANGE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no range of seeds: 0..99, 17, or 5.. with --minutes")
    first = int(found[1])
    if found[2] is None:
        return first, first
    last = int(found[3]) if found[3] else None
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
) -> Generator[Outcome, None, None]:
    """Yield what comes of each seed. `try_seed` must be importable by name, or a functools.partial of such.

    `stop` is asked before each seed: once it is true, those that run are waited for, and no other begins.
    """
    left = iter(seeds)
    workers = list[_Worker]()
    try:
        while True:
            while len(workers) < jobs and (seed := _next(left, stop)) is not None:
                workers.append(_Worker.started(try_seed))
                workers[-1].give(seed)
            if not workers:
                return
            for worker in _ready(workers, seed_seconds_max):
                outcome, is_alive = worker.outcome(seed_seconds_max)
                seed = _next(left, stop) if is_alive else None
                if seed is None:
                    workers.remove(worker)
                    worker.end()
                else:
                    worker.give(seed)
                yield outcome
    finally:
        for worker in workers:
            worker.end()


def _next(seeds: Iterator[int], stop: Callable[[], bool]) -> int | None:
    return None if stop() else next(seeds, None)


@dataclass(eq=False)
class _Worker:
    """A process that tries one seed at a time."""

    process: SpawnProcess
    pipe: Connection
    seed: int = 0
    since: float = field(default=0.0)

    @classmethod
    def started(cls, try_seed: Try) -> "_Worker":
        ours, theirs = _CONTEXT.Pipe()
        process = _CONTEXT.Process(target=_work, args=(theirs, try_seed), daemon=True)
        with _interrupts_blocked():
            process.start()
        theirs.close()
        return cls(process, ours)

    def give(self, seed: int) -> None:
        self.seed, self.since = seed, time.monotonic()
        with suppress(
            BrokenPipeError, ConnectionResetError
        ):  # it is gone: told when it is asked for the outcome
            self.pipe.send(seed)

    def outcome(self, seed_seconds_max: float) -> tuple[Outcome, bool]:
        """What came of the seed, and whether the process is there for another."""
        if not self.pipe.poll():
            return self._lost("no end", f"it did not end within {seed_seconds_max:g} s"), False
        try:
            found: Outcome = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self.process.join(_JOIN_SECONDS)
            return self._lost(
                "process died", f"its process ended with exit code {self.process.exitcode}"
            ), False
        return found, True

    def _lost(self, broke: str, error: str) -> Outcome:
        return Outcome(self.seed, broke=broke, error=error, ended=False)

    def end(self) -> None:
        """Have the process be gone: it keeps nothing, so it may go at any point."""
        self.pipe.close()
        self.process.kill()
        self.process.join(_JOIN_SECONDS)


def _ready(workers: list[_Worker], seed_seconds_max: float) -> list[_Worker]:
    """Workers that answered or died, or whose time is up."""
    patience = min(one.since for one in workers) + seed_seconds_max - time.monotonic()
    answered = wait([one.pipe for one in workers], max(0.0, patience))
    late = time.monotonic() - seed_seconds_max
    return [one for one in workers if one.pipe in answered or one.since <= late]


def _work(pipe: Connection, try_seed: Try) -> None:
    """A worker's life: until its pipe is closed, at the latest by the end of whoever began it."""
    try:
        while True:
            pipe.send(try_seed(pipe.recv()))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """What is begun here never sees Ctrl-C, which a terminal sends to all at once: its parent ends it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
