"""Owns processes beside this one that do what they are given, one thing at a time, and may die or hang of it.

    give ── a function ──> worker ── what it returned ──> answer
                           it died, or takes too long ──> LostError

None of them outlives whoever began it.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Seq
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Any, Final, TypeVar

R = TypeVar("R")
_JOIN_SECONDS: Final = 10.0
_TELL_SECONDS: Final = 2.0
_ASKED: Final = signal.SIGUSR1
# Begun anew and not forked: no lock and no thread of whoever begins it comes along.
_CONTEXT: Final = get_context("spawn")

doing: ContextVar[str] = ContextVar("eventfabric_doing", default="")
"""What is under way, in words for people: told where it is given up."""


class LostError(Exception):
    """A worker did not come back. `broke`: how, in two words; `why`: what it did, as the rest of a sentence."""

    def __init__(self, broke: str, why: str) -> None:
        super().__init__(f"{broke}: it {why}")
        self.broke = broke
        self.why = why


@dataclass(frozen=True)
class _Late:
    """Says what is under way in a worker that takes too long."""

    doing: str


class Worker:
    """A process that does one thing at a time. Once it was lost, it is of no more use."""

    def __init__(self) -> None:
        self.pipe, theirs = _CONTEXT.Pipe()
        self._process: SpawnProcess = _CONTEXT.Process(target=_work, args=(theirs,), daemon=True)
        self.since = 0.0
        with _interrupts_blocked():
            self._process.start()
        theirs.close()

    def give(self, task: Callable[[], object]) -> None:
        """Have it do something: a function that can be imported by name, or a functools.partial of such."""
        self.since = time.monotonic()
        # One that is gone is told of when it is asked for the answer.
        with suppress(BrokenPipeError, ConnectionResetError):
            self.pipe.send(task)

    def answer(self, seconds_max: float) -> Any:
        """What came of it. LostError: it died, or has not answered yet."""
        try:
            found = self.pipe.recv() if self.pipe.poll() else self._told_late()
        except (EOFError, ConnectionResetError):
            self._process.join(_JOIN_SECONDS)
            code = self._process.exitcode
            raise LostError("process died", f"took its process along: exit code {code}") from None
        if isinstance(found, _Late):
            about = f": {found.doing}" if found.doing else ""
            raise LostError("no end", f"did not end within {seconds_max:g} s{about}")
        return found

    def _told_late(self) -> Any:
        """What it says when it is asked why it takes so long; an answer that came meanwhile is one."""
        if self._process.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, _ASKED)
        try:
            return self.pipe.recv() if self.pipe.poll(_TELL_SECONDS) else _Late("")
        except (EOFError, ConnectionResetError):  # asked before it knew what that means, it died of it
            return _Late("")

    def end(self) -> None:
        """Have the process be gone: it keeps nothing, so it may go at any point."""
        self.pipe.close()
        self._process.kill()
        self._process.join(_JOIN_SECONDS)


class Aside:
    """Does one thing after the other in a worker; where one is lost, the next has a new worker. For `with`."""

    def __init__(self) -> None:
        self._worker: Worker | None = None

    def __enter__(self) -> "Aside":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def do(self, task: Callable[[], R], *, seconds_max: float) -> R:
        """What the task returns, which must be importable by name; LostError."""
        worker = self._worker = self._worker or Worker()
        worker.give(task)
        ready([worker], seconds_max)
        try:
            found: R = worker.answer(seconds_max)
        except LostError:
            self._end()
            raise
        return found

    def _end(self) -> None:
        if self._worker is not None:
            self._worker.end()
            self._worker = None


@contextmanager
def ends_in_order() -> Iterator[None]:
    """While SIGTERM ends this process as an exit does: with all that has begun undone. For the main thread."""

    def end(number: int, frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def ready(workers: Seq[Worker], seconds_max: float) -> list[Worker]:
    """Wait for workers that answered or died, or whose time is up."""
    patience = min(one.since for one in workers) + seconds_max - time.monotonic()
    answered = wait([one.pipe for one in workers], max(0.0, patience))
    late = time.monotonic() - seconds_max
    return [one for one in workers if one.pipe in answered or one.since <= late]


def _work(pipe: Connection) -> None:
    """A worker's life: until its pipe is closed, at the latest by the end of whoever began it."""
    answers = False

    def tell(*_: object) -> None:
        # In the middle of an answer, it would be part of that.
        if not answers:
            with suppress(OSError):
                pipe.send(_Late(doing.get()))

    signal.signal(_ASKED, tell)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        while True:
            found = pipe.recv()()
            answers = True
            pipe.send(found)
            answers = False
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _end_with_parent() -> None:
    """Be gone once whoever began this process is, in whatever way that went: what is done here may never end."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """What is begun here never sees Ctrl-C, which a terminal sends to all at once: its parent ends it."""
    # Begun with the first process, it would have the signal unblocked again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
