"""Turns: threads of one process that write to one lane do so one at a time, in the order in which they came.

Without turns, each thread learns from a refused write that another was faster, and one that loses a few times waits
ever longer while the winner goes on. A plain lock would not help: Python gives it to whichever thread asks again first.
"""

from threading import Lock, RLock, get_ident
from time import monotonic
from typing import TYPE_CHECKING

from eventfabric.copies import when_forked
from eventfabric.model import Lane

if TYPE_CHECKING:
    from _thread import LockType

_LOOK_SECONDS = 1.0
"""Interval at which a waiting thread checks if the append that it waits for was interrupted."""


class Turn:
    """The turn to write to one lane. Either nobody has it, or one thread has it and others wait.

    A thread that has the turn takes it again without waiting: the handler of a signal may append to the very lane whose
    append it interrupts. If such a handler raises, it may end that append between any two lines, even those that pass
    the turn on. Therefore each append also holds a lock, `inside`, which its `with` statement releases however it ends,
    and those that wait check that lock.
    """

    __slots__ = ("_inside", "_lock", "_thread", "_waiting")

    def __init__(self) -> None:
        self._lock = RLock()
        self._thread: int | None = None
        self._inside = Lock()
        self._waiting: list[_Waiting] = []

    def take(self, inside: "LockType", timeout_seconds: float) -> bool:
        """Wait for the turn. Return True if it came in time; `pass_on` must be called afterwards in either case."""
        waiting = _Waiting(get_ident(), inside)
        with self._lock:
            if self._thread is None or self._thread == waiting.thread:
                self._thread, self._inside = waiting.thread, inside
                return True
            # A gate of its own for each thread, closed until the turn is given
            # to it: one gate for all would open to whoever is scheduled first.
            waiting.gate.acquire()
            self._waiting.append(waiting)
        until = monotonic() + timeout_seconds
        try:
            while (left_seconds := until - monotonic()) > 0:
                if waiting.gate.acquire(timeout=min(left_seconds, _LOOK_SECONDS)):
                    return True
                with self._lock:
                    # The append before was ended without passing its turn on.
                    if not self._inside.locked():
                        self._give()
            return waiting.gate.acquire(blocking=False)
        finally:
            with self._lock:
                if waiting in self._waiting:  # the turn came too late, or the wait was interrupted
                    self._waiting.remove(waiting)

    def pass_on(self) -> None:
        """End this thread's turn, if it has the turn."""
        with self._lock:
            # A thread whose turn came too late has none, and must not end another's.
            if self._thread == get_ident():
                self._give()

    def _give(self) -> None:
        """Give the turn to the thread that has waited longest, or to nobody."""
        self._thread = None
        if self._waiting:
            following = self._waiting.pop(0)
            self._thread, self._inside = following.thread, following.inside
            following.gate.release()


class _Waiting:
    """A thread that waits for a turn; its turn comes when `gate` opens."""

    __slots__ = ("gate", "inside", "thread")

    def __init__(self, thread: int, inside: "LockType") -> None:
        self.thread = thread
        self.inside = inside
        self.gate = Lock()


class Turns:
    """The turn of each lane that was ever written to."""

    def __init__(self) -> None:
        self._begin()
        when_forked(self._begin)

    def _begin(self) -> None:
        """Forget all turns. A forked child has none of the threads that hold them."""
        self._lock = RLock()
        self._turns: dict[Lane, Turn] = {}

    def of(self, lane: Lane) -> Turn:
        """Return the lane's turn."""
        turn = self._turns.get(lane)
        if turn is None:
            with self._lock:
                turn = self._turns.setdefault(lane, Turn())
        return turn
