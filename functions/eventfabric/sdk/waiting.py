"""Waiting that an interruption leaves intact.

A signal's handler may raise anywhere in the main thread. Within a `threading.Condition`, and so an `Event`, it may
raise while the lock is released: leaving the `with` block then ends with 'cannot release un-acquired lock' instead of
the handler's exception. Here a waiter holds nothing but a lock of its own, and waits for that in one call.
"""

from threading import TIMEOUT_MAX, Lock
from time import monotonic

_CHUNK_SECONDS = min(TIMEOUT_MAX, 3600.0)


class Flag:
    """Flag that is set once; whoever waits for it goes on then. Otherwise like threading.Event."""

    __slots__ = ("_is_set", "_waiters")

    def __init__(self) -> None:
        self._is_set = False
        self._waiters: list[Waiter] = []

    def is_set(self) -> bool:
        """Tell if it is set."""
        return self._is_set

    def set(self) -> None:
        """Set it, and let everybody who waits go on."""
        self._is_set = True
        for waiter in self._waiters:
            waiter.go_on()

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait until it is set. False if that took too long."""
        if self.is_set():
            return True
        waiter = Waiter()
        # Added first, and then checked again: `set` may have been called meanwhile.
        self._waiters.append(waiter)
        until = None if timeout_seconds is None else monotonic() + timeout_seconds
        while not self.is_set():
            left = _CHUNK_SECONDS if until is None else until - monotonic()
            if left <= 0:
                self._waiters.remove(waiter)
                return self.is_set()
            waiter.wait(left)
        return True


class Waiter:
    """Somebody who waits once, until told to go on."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = Lock()
        self._lock.acquire()

    def go_on(self) -> None:
        """End the wait, now or as soon as it begins."""
        if self._lock.locked():
            self._lock.release()

    def wait(self, timeout_seconds: float) -> bool:
        """Wait. False if that took longer."""
        return self._lock.acquire(timeout=min(timeout_seconds, _CHUNK_SECONDS))


class Changes:
    """Announcer of changes to those who wait for one. All calls are made under one lock, the owner's."""

    def __init__(self) -> None:
        self._waiters: list[Waiter] = []

    def waiter(self) -> Waiter:
        """Return a waiter that goes on at the next change."""
        waiter = Waiter()
        self._waiters.append(waiter)
        return waiter

    def tell(self) -> None:
        """Have everybody who waits look again."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.go_on()
