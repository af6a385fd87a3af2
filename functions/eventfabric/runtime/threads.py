"""Threads in which a function does several things at the same time: attempts of different keys, reads ahead."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context

from eventfabric.copies import when_forked


class Threads:
    """services.delivery.context.SideBySide on threads that are kept, at most `most` at the same time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._begin()
        when_forked(self._begin)

    def _begin(self) -> None:
        # A forked child has none of its original's threads, and their pool would wait for them.
        self._pool = ThreadPoolExecutor(self._most, "eventfabric-handler")

    def __call__(self, calls: Sequence[Callable[[], None]]) -> None:
        # Each call in a context of its own, copied from this one, so that traces go on in it.
        running = [self._pool.submit(copy_context().run, call) for call in calls]
        try:
            wait(running)
        except BaseException:  # after an interruption, what has not begun is not wanted any more
            for future in running:
                future.cancel()
            raise
        for future in running:
            future.result()
