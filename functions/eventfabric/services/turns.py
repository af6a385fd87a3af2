"""Turns: threads of one process that write to one lane, one at a time, in the order in which they came.

Without them each learns by a refused write that another was there first, and who loses a few times waits ever longer
while the winner goes on. A plain lock would not do: it goes to whoever asks again at once.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
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

    @contextmanager
    def of(self, lane: Lane, timeout_seconds: float) -> Iterator[bool]:
        """Wait for a turn in the lane, and pass it on at the end; False where it did not come in time."""
        has_turn = self._take(lane, timeout_seconds)
        try:
            yield has_turn
        finally:
            if has_turn:
                self._pass_on(lane)

    def _take(self, lane: Lane, timeout_seconds: float) -> bool:
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
        self._pass_on(lane)  # it came at the last moment

    def _pass_on(self, lane: Lane) -> None:
        with self._lock:
            waiting = self._waiting.get(lane)  # None in a child that was forked meanwhile
            if waiting:
                waiting.popleft().release()
            else:
                self._waiting.pop(lane, None)
