"""Turns: threads of one process that write to one lane, one at a time, in the order in which they came.

Without them each learns by a refused write that another was there first, and who loses a few times waits ever longer
while the winner goes on. A plain lock would not do: it goes to whoever asks again at once.
"""

from threading import Lock

from eventfabric.copies import when_forked
from eventfabric.model.identity import Lane


class Turn:
    """The turn of one lane: nobody's, or somebody's for which the others wait."""

    __slots__ = ("_is_taken", "_lock", "_waiting")

    def __init__(self) -> None:
        self._lock = Lock()
        self._is_taken = False
        self._waiting: list[Lock] = []

    def take(self, timeout_seconds: float) -> bool:
        """Wait for it; whether it came in time. Who took it passes it on."""
        with self._lock:
            if not self._is_taken:
                self._is_taken = True
                return True
            mine = Lock()
            mine.acquire()
            self._waiting.append(mine)
        has_turn = False
        try:
            has_turn = mine.acquire(timeout=timeout_seconds)
        finally:
            if not has_turn:  # too late, or interrupted
                self._leave(mine)
        return has_turn

    def _leave(self, mine: Lock) -> None:
        with self._lock:
            if mine in self._waiting:
                self._waiting.remove(mine)
                return
        self.pass_on()  # it came at the last moment

    def pass_on(self) -> None:
        """End the turn that was taken."""
        with self._lock:
            if self._waiting:
                self._waiting.pop(0).release()
            else:
                self._is_taken = False


class Turns:
    """The turn of each lane that somebody wrote to."""

    def __init__(self) -> None:
        self._begin()
        when_forked(self._begin)

    def _begin(self) -> None:
        self._lock = Lock()
        self._of: dict[Lane, Turn] = {}

    def of(self, lane: Lane) -> Turn:
        """The lane's turn."""
        turn = self._of.get(lane)
        if turn is None:
            with self._lock:
                turn = self._of.setdefault(lane, Turn())
        return turn
