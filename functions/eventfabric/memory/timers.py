"""One standard SQS queue of one Region whose messages come after a delay of their own; in no order, at least once."""

from eventfabric import limits
from eventfabric.memory.stream import Chooser, first
from eventfabric.ports import Clock


class MemoryTimers:
    """A timer queue."""

    def __init__(self, name: str, *, clock: Clock) -> None:
        self.name = name
        self._clock = clock
        self._messages: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._messages)

    def send(self, body: str, *, delay_seconds: int) -> None:
        """Take a message that comes after its delay, 15 minutes at most."""
        delay_ms = 1000 * min(delay_seconds, limits.TIMER_DELAY_SECONDS_MAX)
        self._messages.append((self._clock.now_ms() + delay_ms, body))

    def next_due_ms(self) -> int | None:
        """When the next message comes."""
        return min((due_ms for due_ms, _ in self._messages), default=None)

    def take(self, choose: Chooser = first) -> str | None:
        """One message that is due, deleted; None where none is."""
        now_ms = self._clock.now_ms()
        ready = [index for index, (due_ms, _) in enumerate(self._messages) if due_ms <= now_ms]
        return self._messages.pop(ready[choose(len(ready))])[1] if ready else None
