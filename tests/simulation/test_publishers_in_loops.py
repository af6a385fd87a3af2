"""Producers that publish in loops to one lane: whoever lost a few times is not left behind by those who never wait."""

from itertools import count
from random import Random
from typing import Any

import pytest

from eventfabric.ports import Log
from eventfabric.services.publishing.append import Appender
from eventfabric.testing.memory.entropy import SeededEntropy
from eventfabric.testing.simulation.schedule import Schedule, SimulatedTime
from tests.support.memory_fabric import LANE, STREAM, batch_of, event
from tests.support.subscribed_stream import SubscribedStream

LOOP_SECONDS = 20
HALF_TRIP_SECONDS = 0.0025
BETWEEN_SECONDS = 0.0002
WAIT_MAX_SECONDS = 5.0


class Sleeping(SimulatedTime):
    """Time for actors, who may sleep."""

    def sleep(self, seconds: float) -> None:
        self._schedule.pause(seconds)


class Distant:
    """A log some milliseconds away, there and back, which vary."""

    def __init__(self, log: Log, schedule: Schedule, random: Random, spread: float) -> None:
        self._log, self._schedule, self._random, self._spread = log, schedule, random, spread

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._log, name)

        def called(*arguments: Any, **more: Any) -> Any:
            self._travel()
            answer = call(*arguments, **more)
            self._travel()
            return answer

        return called

    def _travel(self) -> None:
        self._schedule.pause(HALF_TRIP_SECONDS * self._random.lognormvariate(0, self._spread))


@pytest.mark.parametrize("spread", [0.02, 0.25])
@pytest.mark.parametrize("producers", [2, 4])
def test_no_publisher_waits_long_for_others_that_publish_in_loops(producers: int, spread: float) -> None:
    random, fabric = Random(producers), SubscribedStream()
    schedule = Schedule(random)
    clock = Sleeping(schedule)
    waits_seconds: list[list[float]] = [[] for _ in range(producers)]
    end_us = schedule.now_us + LOOP_SECONDS * 1_000_000

    def publish(number: int) -> None:
        log: Any = Distant(fabric.origin_log, schedule, random, spread)
        appender = Appender(log, stream=STREAM, clock=clock, entropy=SeededEntropy(number))
        for turn in count():
            began_us = schedule.now_us
            if began_us >= end_us:
                return
            name = f"{number}.{turn}"
            appender.append(LANE, batch_of([event(name)], name.encode().ljust(16)))
            waits_seconds[number].append((schedule.now_us - began_us) / 1_000_000)
            schedule.pause(BETWEEN_SECONDS)

    for number in range(producers):
        schedule.spawn(f"publisher {number}", publish, number)
    schedule.run(steps_max=1_000_000)
    assert max(map(max, waits_seconds)) < WAIT_MAX_SECONDS
    shares = sorted(map(len, waits_seconds))
    assert shares[0] * 2 > shares[-1]
