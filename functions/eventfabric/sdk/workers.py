"""Threads that the end of the process does not wait for, and that end when nobody holds them any more.

The standard library's pools are joined when the interpreter ends, with all that was handed to them: if an endpoint is
gone, that takes minutes.
"""

from collections.abc import Callable
from concurrent.futures import Executor, Future, wait
from functools import partial
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, TypeVar

from eventfabric.copies import when_forked
from eventfabric.errors import CopiedProcessError, EventFabricError, NoThreadError

T = TypeVar("T")

_Task = tuple[Future[Any], Callable[[], Any]]


class Workers(Executor):
    """Executor with at most `most` daemon threads, started as they are needed."""

    def __init__(self, most: int, name: str, *, owner: str) -> None:
        """`owner`: named by CopiedProcessError in a forked child, which has none of the threads."""
        self._most = most
        self._name = name
        self._owner = owner
        self._count = 0
        self.is_copied = False
        self._begin()
        when_forked(self._forget)

    def _begin(self) -> None:
        self._lock = Lock()
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        # Not a semaphore: an interruption may leave its lock held, and then the threads would wait for it.
        self._idle: SimpleQueue[None] = SimpleQueue()
        self._under_way: set[Future[Any]] = set()
        self._is_closed = False

    def _forget(self) -> None:
        self._begin()
        self._is_closed = self.is_copied = True

    def check(self) -> None:
        """Raise CopiedProcessError in a forked child of the process that made them."""
        if self.is_copied:
            raise CopiedProcessError(self._owner)

    def submit(self, call: Callable[..., T], /, *arguments: Any, **more: Any) -> Future[T]:
        """Have a thread make the call. CopiedProcessError; NoThreadError if no thread is left to take it."""
        future: Future[T] = Future()
        with self._lock:
            self.check()
            if self._is_closed:
                raise EventFabricError(f"{self._owner} is closed")
            self._have_a_thread()
            try:
                self._under_way.add(future)
                future.add_done_callback(self._under_way.discard)
                self._tasks.put((future, partial(call, *arguments, **more)))
            except BaseException:  # an interruption: nobody is to wait for it
                self._under_way.discard(future)
                raise
        return future

    def _have_a_thread(self) -> None:
        if self._is_any_idle() or self._count == self._most:
            return
        thread = Thread(
            target=_work, args=(self._tasks, self._idle), name=f"{self._name}_{self._count}", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:  # the process is about to end, or has too many threads
            if not self._count:
                raise NoThreadError(self._owner) from error
            return
        self._count += 1

    def _is_any_idle(self) -> bool:
        try:
            self._idle.get_nowait()
        except Empty:
            return False
        return True

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # of Executor
        """Take no more calls, and wait for those under way, unless told not to."""
        self.close(None if wait else 0)

    def close(self, within_seconds: float | None = None) -> None:
        """Take no more calls, and wait for those under way, at most so long. The threads end after that."""
        with self._lock:
            self._is_closed = True
            under_way = set(self._under_way)
        if within_seconds != 0:
            wait(under_way, within_seconds)
        self._tasks.put(None)

    def __del__(self) -> None:
        # A simple queue may be put to from anywhere, even from within garbage collection.
        self._tasks.put(None)


def _work(tasks: "SimpleQueue[_Task | None]", idle: "SimpleQueue[None]") -> None:
    while (task := tasks.get()) is not None:
        future, call = task
        if future.set_running_or_notify_cancel():
            try:
                result = call()
            except BaseException as error:  # for the caller to see, through the future
                future.set_exception(error)
            else:
                future.set_result(result)
        del task, future, call
        idle.put(None)
    tasks.put(None)  # for the next thread
