"""Batches to append, and clocks and logs for appenders."""

from collections.abc import Callable

from eventfabric.model import Batch
from eventfabric.testing.memory.clock import MemoryClock
from eventfabric.testing.memory.faults import Faults
from tests.support.memory_fabric import batch_of, event

MINE = b"mine".ljust(16)


class Waits(MemoryClock):
    """A clock that remembers each sleep."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)
        super().sleep(seconds)


class Half:
    """Entropy that always draws the middle."""

    def bytes(self, count: int) -> bytes:
        return bytes(count)

    def fraction(self) -> float:
        return 0.5


def mine(name: str = "mine", batch_id: bytes = MINE) -> Batch:
    return batch_of([event(name)], batch_id)


def at_call(name: str, number: int, then: Callable[[], object]) -> Faults:
    """Return faults that fail nothing, and call `then` just before a call: another publisher is faster, for example."""
    faults = Faults()

    def rule(called: str, overall: int, of_name: int) -> None:
        if (called, of_name) == (name, number):
            then()

    faults.rules.append(rule)
    return faults
