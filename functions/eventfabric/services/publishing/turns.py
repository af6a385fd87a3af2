"""Turns: threads of one process that write to one lane, one at a time, in the order in which they came.

Without them each learns by a refused write that another was there first, and who loses a few times waits ever longer
while the winner goes on. A plain lock would not do: it goes to whoever asks again at once.
"""

from threading import Lock, RLock, get_ident
from time import monotonic
from typing import TYPE_CHECKING

from eventfabric.copies import when_forked
from eventfabric.model.identity import Lane

if TYPE_CHECKING:
    from _thread import LockType

_LOOK_SECONDS = 1.0
"""How often one that waits looks whether the one that he waits for was interrupted."""


class Turn:
    """The turn of one lane: nobody's, or a thread's for which the others wait.

    A thread that has it need not wait for it: a signal's handler may append to the lane in whose append it breaks in.
    What such a handler raises may end an append between any two lines. So whoever waits also looks whether the append
    before is still `inside`, a lock that is held throughout, and given up by its `with` wherever that happens.
    """

    __slots__ = ("_inside", "_lock", "_thread", "_waiting")

    def __init__(self) -> None:
        self._lock = RLock()
        self._thread: int | None = None
        self._inside = Lock()
        self._waiting: list[_Waiting] = []

    def take(self, inside: "LockType", timeout_seconds: float) -> bool:
        """Wait for it; whether it came in time. Whatever happens, the thread passes it on after that."""
        mine = _Waiting(get_ident(), inside)
        with self._lock:
            if self._thread is None or self._thread == mine.thread:
                self._thread, self._inside = mine.thread, inside
                return True
            mine.gate.acquire()
            self._waiting.append(mine)
        until = monotonic() + timeout_seconds
        try:
            while (left_seconds := until - monotonic()) > 0:
                if mine.gate.acquire(timeout=min(left_seconds, _LOOK_SECONDS)):
                    return True
                with self._lock:
                    if not self._inside.locked():
                        self._give()
            return mine.gate.acquire(blocking=False)
        finally:
            with self._lock:
                if mine in self._waiting:  # too late, or interrupted
                    self._waiting.remove(mine)

    def pass_on(self) -> None:
        """End this thread's turn, if it has it."""
        with self._lock:
            if self._thread == get_ident():
                self._give()

    def _give(self) -> None:
        """Give the turn to the one that waits the longest, or to nobody."""
        self._thread = None
        if self._waiting:
            following = self._waiting.pop(0)
            self._thread, self._inside = following.thread, following.inside
            following.gate.release()


class _Waiting:
    """A thread that waits for a turn, until its `gate` opens."""

    __slots__ = ("gate", "inside", "thread")

    def __init__(self, thread: int, inside: "LockType") -> None:
        self.thread = thread
        self.inside = inside
        self.gate = Lock()


class Turns:
    """The turn of each lane that somebody wrote to."""

    def __init__(self) -> None:
        self._begin()
        when_forked(self._begin)

    def _begin(self) -> None:
        self._lock = RLock()
        self._of: dict[Lane, Turn] = {}

    def of(self, lane: Lane) -> Turn:
        """The lane's turn."""
        turn = self._of.get(lane)
        if turn is None:
            with self._lock:
                turn = self._of.setdefault(lane, Turn())
        return turn
