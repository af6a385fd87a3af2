"""A producer whose appends wait until a test lets them go on."""

import asyncio
from collections.abc import Awaitable, Callable
from threading import Event as Flag
from typing import TypeVar

from eventfabric import AsyncFabric
from eventfabric.errors import RefusedError
from tests.support.memory_fabric import HOME
from tests.support.producers import events, held_up
from tests.support.subscribed_stream import SubscribedStream

T = TypeVar("T")


class GatedProducer:
    """A fabric in memory, and a producer of it. Appends wait for `gate`, which is open, and fail while `refuses`."""

    def __init__(self, *, lanes: int = 2, workers: int = 2) -> None:
        self.memory_fabric = SubscribedStream(lanes=lanes)
        self.gate, self.entered = Flag(), Flag()
        self.gate.set()
        self.refuses = False
        self.fabric = held_up(self.memory_fabric, self._wait, parallel_lanes=workers)

    def _wait(self) -> None:
        self.entered.set()
        assert self.gate.wait(10)
        if self.refuses:
            raise RefusedError("append", "told to")

    def run(self, use: Callable[[AsyncFabric], Awaitable[T]]) -> T:
        async def main() -> T:
            async with AsyncFabric(self.fabric) as fabric:
                return await asyncio.wait_for(awaited(use(fabric)), 20)

        return asyncio.run(main())

    def ids(self) -> list[str]:
        return [str(event.id) for event in events(self.memory_fabric, HOME)]


async def awaited(awaitable: Awaitable[T]) -> T:
    return await awaitable
