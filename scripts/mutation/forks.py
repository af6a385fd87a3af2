"""Processes that run tests on a mutant: how many at once, for how long, and how each ended."""

import os
import resource
import select
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from scripts.mutation.mutants import Fate

# A test counts as looping after this many times its usual processor time, but not before this many seconds of it.
CPU_FACTOR, CPU_SECONDS_MIN = 30, 5.0
SILENT_SECONDS_MAX = 300.0
MEMORY_BYTES_MAX = 3 * 2**30

Job = TypeVar("Job")


class Wire:
    """The child's end of the pipe: reports which test begins, and limits the test's processor time."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def begin(self, test: str, seconds: float) -> None:
        """Report that a test begins, which normally takes this much processor time."""
        # The timer ends the process by SIGPROF, which works whatever the process is doing.
        signal.setitimer(signal.ITIMER_PROF, max(CPU_SECONDS_MIN, CPU_FACTOR * seconds))
        os.write(self._pipe, f"{test}\n".encode())

    def handed_on(self) -> int:
        """Return the pipe, which a program that replaces this process may go on with."""
        os.set_inheritable(self._pipe, True)
        return self._pipe

    def passed(self) -> None:
        """Report that all tests passed."""
        os.write(self._pipe, b"passed\n")


@dataclass(frozen=True)
class Ended:
    """The end of a child, and the test at which it ended."""

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
    """Run each job in a fork of this process, with `workers` at once, and yield the jobs as they end."""
    running: dict[int, _Child[Job]] = {}
    try:
        while True:
            while len(running) < workers and (job := next(jobs, None)) is not None:
                pipe, process = _fork(job, child)
                running[pipe] = _Child(job, process, time.monotonic())
            if not running:
                return
            for pipe in _ready(list(running)):
                forked = running[pipe]
                heard = os.read(pipe, 65_536)
                forked.text += heard
                forked.heard = time.monotonic()
                if not heard:
                    del running[pipe]
                    yield forked.job, _ended(pipe, forked)
            for pipe, forked in list(running.items()):
                if time.monotonic() - forked.heard > SILENT_SECONDS_MAX:
                    os.kill(forked.process, signal.SIGKILL)
                    del running[pipe]
                    yield forked.job, _ended(pipe, forked)
    finally:
        for forked in running.values():
            os.kill(forked.process, signal.SIGKILL)


def _ready(pipes: Sequence[int]) -> Sequence[int]:
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
    if not lines:
        raise RuntimeError("a trial ended before it began: that says nothing about its mutant")
    if lines[-1] == "passed":
        return Ended(Fate.SURVIVED, "")
    fate = Fate.KILLED
    if os.WIFSIGNALED(status):
        fates = {signal.SIGPROF: Fate.LOOPED, signal.SIGKILL: Fate.STUCK}
        fate = fates.get(signal.Signals(os.WTERMSIG(status)), Fate.KILLED)
    return Ended(fate, lines[-1])
