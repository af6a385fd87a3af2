"""Turns: threads of one process that write to one lane, one at a time, in the order in which they came.

Without them each learns by a refused write that another was there first, and who loses a few times waits ever longer
while the winner goes on. A plain lock would not do: it goes to whoever asks again at once.
"""

from collections import deque
from threading import Lock

from eventfabric.copies import when_forked
from eventfabric.model.identity import Lane


class Turns:
    """Whose turn it is in each lane. Holds nothing of a lane that nobody writes to."""

    def __init__(self) -> None:
        self._begin()
        when_forked(self._begin)

    def _begin(self) -> None:
        self._lock = Lock()
        self._waiting: dict[Lane, deque[Lock]] = {}

    def of(self, lane: Lane, timeout_seconds: float) -> "Turn":
        """Wait for a turn in the lane, and pass it on at the end; False where it did not come in time."""
        return Turn(self, lane, timeout_seconds)

    def take(self, lane: Lane, timeout_seconds: float) -> bool:
        """Wait for a turn in the lane; whether it came in time."""
        with self._lock:
            waiting = self._waiting.get(lane)
            if waiting is None:
                self._waiting[lane] = deque()
                return True
            mine = Lock()
            mine.acquire()
            waiting.append(mine)
        has_turn = False
        try:
            has_turn = mine.acquire(timeout=timeout_seconds)
        finally:
            if not has_turn:  # too late, or interrupted
                self._leave(lane, mine)
        return has_turn

    def _leave(self, lane: Lane, mine: Lock) -> None:
        with self._lock:
            waiting = self._waiting.get(lane)
            if waiting is not None and mine in waiting:
                waiting.remove(mine)
                return
        self.pass_on(lane)  # it came at the last moment

    def pass_on(self, lane: Lane) -> None:
        """End the turn that was taken."""
        with self._lock:
            waiting = self._waiting.get(lane)  # None in a child that was forked meanwhile
            if waiting:
                waiting.popleft().release()
            else:
                self._waiting.pop(lane, None)


class Turn:
    """One turn, for a `with`: every append takes one, and a generator would cost it several calls more."""

    __slots__ = ("_has_turn", "_lane", "_of", "_timeout_seconds")

    def __init__(self, of: Turns, lane: Lane, timeout_seconds: float) -> None:
        self._of = of
        self._lane = lane
        self._timeout_seconds = timeout_seconds
        self._has_turn = False

    def __enter__(self) -> bool:
        self._has_turn = self._of.take(self._lane, self._timeout_seconds)
        return self._has_turn

    def __exit__(self, *_: object) -> None:
        if self._has_turn:
            self._of.pass_on(self._lane)
