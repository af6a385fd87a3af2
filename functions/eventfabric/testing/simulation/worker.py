"""Worker processes: each does one task at a time, and may die or hang because of it.

    give ── a function ──> worker ── its result ──> answer
                           it died, or takes too long ──> LostError

No worker outlives the process that started it.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Final, TypeVar

R = TypeVar("R")
_JOIN_SECONDS: Final = 10.0
_TELL_SECONDS: Final = 2.0
_ASKED: Final = signal.SIGUSR1
# Spawned, not forked, so that a worker inherits no locks and threads.
_CONTEXT: Final = get_context("spawn")

doing: ContextVar[str] = ContextVar("eventfabric_doing", default="")
"""The task under way, in words for people; reported if it is given up."""


class LostWorkerError(Exception):
    """A worker was lost. `broke`: how, in two words; `why`: what it did, as the rest of a sentence."""

    def __init__(self, broke: str, why: str) -> None:
        super().__init__(f"{broke}: it {why}")
        self.broke = broke
        self.why = why


@dataclass(frozen=True)
class _Late:
    """Answer of a worker that takes too long: what it is doing."""

    doing: str


class Worker:
    """A process that does one task at a time. Once lost, it cannot be used again."""

    def __init__(self) -> None:
        self.pipe, theirs = _CONTEXT.Pipe()
        self._process: SpawnProcess = _CONTEXT.Process(target=_work, args=(theirs,), daemon=True)
        self.since = 0.0
        with _interrupts_blocked():
            self._process.start()
        theirs.close()

    def give(self, task: Callable[[], object]) -> None:
        """Give it a task: a function that can be imported by name, or a functools.partial of such."""
        self.since = time.monotonic()
        # If the worker is gone, `answer` reports that.
        with suppress(BrokenPipeError, ConnectionResetError):
            self.pipe.send(task)

    def answer(self, seconds_max: float) -> Any:
        """Return the task's result. LostError: the worker died, or has not answered in time."""
        try:
            result = self.pipe.recv() if self.pipe.poll() else self._late_answer()
        except (EOFError, ConnectionResetError):
            self._process.join(_JOIN_SECONDS)
            code = self._process.exitcode
            raise LostWorkerError("process died", f"took its process along: exit code {code}") from None
        if isinstance(result, _Late):
            about = f": {result.doing}" if result.doing else ""
            raise LostWorkerError("no end", f"did not end within {seconds_max:g} s{about}")
        return result

    def _late_answer(self) -> Any:
        """Ask a late worker what it is doing; return that, or its result if that has come meanwhile."""
        if self._process.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, _ASKED)
        try:
            return self.pipe.recv() if self.pipe.poll(_TELL_SECONDS) else _Late("")
        except (EOFError, ConnectionResetError):  # asked before it could handle the signal, it died of it
            return _Late("")

    def end(self) -> None:
        """Kill the process. It holds nothing, so it may end at any point."""
        self.pipe.close()
        self._process.kill()
        self._process.join(_JOIN_SECONDS)


class Aside:
    """Does one task after the other in a worker, and starts a new worker if one is lost. Use it with `with`."""

    def __init__(self) -> None:
        self._worker: Worker | None = None

    def __enter__(self) -> "Aside":
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._end()

    def do(self, task: Callable[[], R], *, seconds_max: float) -> R:
        """Return the result of the task, which must be importable by name. LostError."""
        worker = self._worker = self._worker or Worker()
        worker.give(task)
        ready([worker], seconds_max)
        try:
            result: R = worker.answer(seconds_max)
        except LostWorkerError:
            self._end()
            raise
        return result

    def _end(self) -> None:
        if self._worker is not None:
            self._worker.end()
            self._worker = None


@contextmanager
def ends_in_order() -> Iterator[None]:
    """Let SIGTERM end this process in an orderly way, with all cleanup, like an exit. For the main thread."""

    def end(number: int, frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def ready(workers: Sequence[Worker], seconds_max: float) -> list[Worker]:
    """Wait for any worker. Return those that answered, died, or ran out of time."""
    patience = min(worker.since for worker in workers) + seconds_max - time.monotonic()
    answered = wait([worker.pipe for worker in workers], max(0.0, patience))
    late = time.monotonic() - seconds_max
    return [worker for worker in workers if worker.pipe in answered or worker.since <= late]


def _work(pipe: Connection) -> None:
    """Do tasks until the pipe is closed, or the parent process ends."""
    answers = False

    def tell(*_: object) -> None:
        # In the middle of an answer, it would corrupt that.
        if not answers:
            with suppress(OSError):
                pipe.send(_Late(doing.get()))

    signal.signal(_ASKED, tell)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        while True:
            result = pipe.recv()()
            answers = True
            pipe.send(result)
            answers = False
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _end_with_parent() -> None:
    """End this process once its parent has ended in any way, since a task here may never end."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Keep Ctrl-C, which a terminal sends to all processes at once, from those started here: their parent ends them."""
    # If it were started with the first process, it would unblock the signal again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
