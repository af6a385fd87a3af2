"""Owns the processes that run tests on a mutant: how many at once, how long, and how each ended."""

import os
import resource
import select
import signal
import time
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Generic, TypeVar

from scripts.mutation.mutants import Fate

# A test may use so many times the processor time that it took, and at least this much, before it counts as looping.
CPU_FACTOR, CPU_SECONDS_MIN = 30, 5.0
SILENT_SECONDS_MAX = 300.0
MEMORY_BYTES_MAX = 3 * 2**30

Job = TypeVar("Job")


class Wire:
    """The child's end: says which test it begins and how it ended, and lives as long as its processor time lasts."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def begin(self, test: str, seconds: float) -> None:
        """A test begins that took so much processor time."""
        # Ends the process by SIGPROF: nothing in it can catch that, or be busy elsewhere.
        signal.setitimer(signal.ITIMER_PROF, max(CPU_SECONDS_MIN, CPU_FACTOR * seconds))
        os.write(self._pipe, f"{test}\n".encode())

    def passed(self) -> None:
        """All tests passed."""
        os.write(self._pipe, b"passed\n")


@dataclass(frozen=True)
class Ended:
    """How a child ended, at which test."""

    fate: Fate
    by: str


@dataclass
class _Child(Generic[Job]):
    job: Job
    process: int
    heard: float
    text: bytes = b""


def run_forked(
    jobs: Iterator[Job], child: Callable[[Job, Wire], None], workers: int
) -> Iterator[tuple[Job, Ended]]:
    """Run each job in a fork of this process, so many at once; yield them as they end."""
    running: dict[int, _Child[Job]] = {}
    try:
        while True:
            while len(running) < workers and (job := next(jobs, None)) is not None:
                pipe, process = _fork(job, child)
                running[pipe] = _Child(job, process, time.monotonic())
            if not running:
                return
            for pipe in _ready(list(running)):
                one = running[pipe]
                heard = os.read(pipe, 65_536)
                one.text += heard
                one.heard = time.monotonic()
                if not heard:
                    del running[pipe]
                    yield one.job, _ended(pipe, one)
            for pipe, one in list(running.items()):
                if time.monotonic() - one.heard > SILENT_SECONDS_MAX:
                    os.kill(one.process, signal.SIGKILL)
                    del running[pipe]
                    yield one.job, _ended(pipe, one)
    finally:
        for one in running.values():
            os.kill(one.process, signal.SIGKILL)


def _ready(pipes: Seq[int]) -> Seq[int]:
    return select.select(pipes, [], [], 10)[0]


def _fork(job: Job, child: Callable[[Job, Wire], None]) -> tuple[int, int]:
    ours, theirs = os.pipe()
    process = os.fork()
    if process:
        os.close(theirs)
        return ours, process
    code = 1
    try:
        os.close(ours)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        child(job, Wire(theirs))
        code = 0
    finally:
        os._exit(code)


def _ended(pipe: int, child: _Child[Job]) -> Ended:
    os.close(pipe)
    _, status = os.waitpid(child.process, 0)
    lines = child.text.decode().split("\n")[:-1]
    if lines and lines[-1] == "passed":
        return Ended(Fate.SURVIVED, "")
    fate = Fate.KILLED
    if os.WIFSIGNALED(status):
        fates = {signal.SIGPROF: Fate.LOOPED, signal.SIGKILL: Fate.STUCK}
        fate = fates.get(signal.Signals(os.WTERMSIG(status)), Fate.KILLED)
    return Ended(fate, lines[-1] if lines else "import")
