"""Queues that refuse, give no answer or are missing: whom the relay rings all the same, and what comes again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import ceil
from typing import cast

import pytest

from eventfabric import limits
from eventfabric.deadline import seconds_left
from eventfabric.definition.file import parse_definition
from eventfabric.errors import RefusedError
from eventfabric.model import (
    ANY_TAIL,
    EMPTY_TAIL,
    GENERATION_FIRST,
    Doorbell,
    Lane,
    LaneIndex,
    Owner,
    Region,
    SequenceNumber,
    Standing,
    StreamName,
    SubscriptionName,
    next_time,
)
from eventfabric.ports import Ledger
from eventfabric.services.delivery.relay import PARALLEL_QUEUES, Relay
from eventfabric.services.delivery.ringer import AGAIN_SECONDS, CALLS_SECONDS, HOLD_SECONDS
from eventfabric.services.delivery.side_by_side import SideBySide, one_after_another
from eventfabric.telemetry import LogEvent, Metric, NoTelemetry
from eventfabric.testing.memory.clock import MemoryClock
from eventfabric.testing.memory.doorbells import MemoryDoorbells
from eventfabric.testing.memory.faults import Faults
from eventfabric.topology import Topology
from eventfabric.wire.doorbell import from_body
from eventfabric.wire.stream_record import RecordNews
from tests.support.memory_fabric import AWAY, HOME, STREAM, MemoryFabric, lane

CALL_SECONDS = 0.006


def topology(*subscriptions: str, deliver: str = "") -> Topology:
    return Topology(
        parse_definition(
            f"""
            [fabric]
            name = "shop"
            regions = ["{HOME}", "{AWAY}"]
            [streams.{STREAM}]
            lanes = 2
            """
            + "".join(
                f"""
                [subscriptions.{name}]
                stream = "{STREAM}"
                handler = "subscribers.{name}:handle"
                {deliver}
                """
                for name in subscriptions
            )
        )
    )


class Queues(MemoryDoorbells):
    """The queues of HOME. Each call takes time; what is refused is named by subscription, and by lane if only that."""

    clock: MemoryClock
    call_seconds = 0.0
    refused: frozenset[str | tuple[str, Lane]] = frozenset()
    without_timers: frozenset[str] = frozenset()
    hanging: frozenset[str] = frozenset()
    broken: frozenset[str] = frozenset()
    calls = 0

    def ring(self, subscription: str, doorbells: Sequence[Doorbell]) -> list[Doorbell]:
        self._call(subscription)
        kept = [bell for bell in doorbells if self.refused & {subscription, (subscription, bell.lane)}]
        return kept + super().ring(subscription, [bell for bell in doorbells if bell not in kept])

    def ring_later(self, subscription: str, doorbell: Doorbell, delay_seconds: float) -> bool:
        self._call("" if subscription in self.refused else subscription)
        return subscription not in self.without_timers and super().ring_later(
            subscription, doorbell, delay_seconds
        )

    def _call(self, subscription: str) -> None:
        self.calls += 1
        if subscription in self.broken:
            raise MemoryError
        seconds = CALLS_SECONDS if subscription in self.hanging else self.call_seconds
        self.clock.advance(seconds)


@dataclass
class Noted(NoTelemetry):
    """Telemetry that keeps what is added and logged."""

    added: list[tuple[Metric, float, str | None]] = field(default_factory=list)
    logged: list[tuple[LogEvent, dict[str, object]]] = field(default_factory=list)

    def add(self, metric: Metric, value: float = 1, *, of: str | None = None) -> None:
        self.added.append((metric, value, of))

    def tell(self, event: LogEvent, **about: object) -> None:
        self.logged.append((event, about))


class Relayed(MemoryFabric):
    """A relay that lives on from batch to batch, and queues in trouble."""

    def __init__(self, *subscriptions: str, deliver: str = "") -> None:
        super().__init__(topology(*subscriptions, deliver=deliver))
        self.queues = Queues(
            self.cloud.regions[HOME],
            lambda name: self.topology.subscription(name).queue.name,
            lambda name: self.topology.subscription(name).timers.name,
        )
        self.queues.clock = self.clock
        self.noted = Noted()
        self.relay = self.process()
        self._tail = 0

    def process(self, side_by_side: SideBySide = one_after_another, faults: Faults | None = None) -> Relay:
        ports = (faults or Faults()).ports(replace(self.ports(HOME), doorbells=self.queues))
        return Relay(self.stream, region=HOME, ports=ports, telemetry=self.noted, side_by_side=side_by_side)

    def batch(self, *lanes: int, relay: Relay | None = None) -> str | None:
        """One more record in each of these lanes, at positions p0, p1 and so on."""
        self._tail += 1
        news = [RecordNews(f"p{n}", lane(index), SequenceNumber(self._tail)) for n, index in enumerate(lanes)]
        return (relay or self.relay).ring(news)

    def rung(self, subscription: str) -> list[tuple[Lane, int]]:
        bells = [from_body(body) for body in self.cloud.queue(subscription, HOME).bodies]
        return [(bell.lane, bell.tail) for bell in bells]

    def timers(self, subscription: str) -> int:
        return len(self.cloud.timers(subscription, HOME))

    def gone(self, subscription: str) -> None:
        """Delete both queues of a subscription, as somebody does who deletes its stack."""
        region, own = self.cloud.regions[HOME], self.topology.subscription(subscription)
        del region.queues[own.queue.name], region.timers[own.timers.name]


def test_a_queue_that_refuses_holds_up_no_other_subscription_and_no_later_record() -> None:
    fabric = Relayed("audit", "billing")
    fabric.queues.refused = frozenset({"audit"})
    assert [fabric.batch(0, 1), fabric.batch(0), fabric.batch(1)] == [None, None, None]
    assert [tail for _, tail in fabric.rung("billing")] == [1, 1, 2, 3]
    assert fabric.rung("audit") == []


def test_what_a_queue_refuses_a_timer_rings_for_all_that_the_lane_has_by_then() -> None:
    fabric = Relayed("audit", "billing")
    fabric.queues.refused = frozenset({("audit", lane(1))})
    fabric.batch(0, 1)
    fabric.batch(1)
    timers = fabric.cloud.timers("audit", HOME)
    assert fabric.timers("audit") == 1
    fabric.clock.advance(AGAIN_SECONDS)
    body = timers.take()
    assert body is not None
    assert (from_body(body).lane, from_body(body).tail) == (lane(1), ANY_TAIL)
    assert fabric.rung("audit") == [(lane(0), 1)]


def test_while_a_queue_stays_away_each_timer_comes_twice_as_late_and_none_is_left_out() -> None:
    fabric = Relayed("audit", "billing")
    fabric.queues.refused = frozenset({"audit"})
    due: list[int] = []
    for _ in range(40):
        before = fabric.timers("audit")
        fabric.batch(0)
        due += [fabric.clock.now_ms()] if fabric.timers("audit") > before else []
        fabric.clock.advance(0.5)
    assert [(later - first) // 1000 for first, later in pairwise(due)] == [1, 2, 4, 8]
    fabric.queues.refused = frozenset()
    fabric.batch(0)
    fabric.queues.refused = frozenset({"audit"})
    fabric.batch(0)
    assert fabric.timers("audit") == len(due) + 1


def test_a_queue_that_gives_no_answer_is_left_alone_longer_each_time_and_its_timers_ring() -> None:
    fabric = Relayed("audit", "billing")
    fabric.queues.refused = fabric.queues.hanging = frozenset({"audit"})
    waited_seconds = list[float]()
    for _ in range(60):
        began_ms = fabric.clock.now_ms()
        assert fabric.batch(0) is None
        waited_seconds.append((fabric.clock.now_ms() - began_ms) / 1000)
        fabric.clock.advance(1)
    tried = [number for number, seconds in enumerate(waited_seconds) if seconds]
    assert [later - earlier for earlier, later in pairwise(tried)] == [1, 2, 4, 8, 16]
    assert set(waited_seconds) == {0.0, CALLS_SECONDS}
    assert len(fabric.rung("billing")) == 60
    fabric.queues.refused = fabric.queues.hanging = frozenset()
    fabric.clock.advance(limits.REGION_PAUSE_SECONDS)
    fabric.batch(0)
    assert fabric.rung("audit") == [(lane(0), 61)]
    # The next trouble is a new one.
    fabric.queues.refused = fabric.queues.hanging = frozenset({"audit"})
    fabric.batch(0)
    fabric.clock.advance(AGAIN_SECONDS)
    began_ms = fabric.clock.now_ms()
    fabric.batch(0)
    assert fabric.clock.now_ms() - began_ms == 1000 * CALLS_SECONDS, "it was tried again"


def test_a_subscription_without_queues_holds_the_shard_for_a_moment_once_and_is_then_left_to_reconciliation() -> (
    None
):
    fabric = Relayed("audit", "billing")
    fabric.gone("audit")
    assert fabric.batch(0, 1) == "p0"
    fabric.clock.advance(HOLD_SECONDS)
    assert [fabric.batch(0, 1), fabric.batch(0), fabric.batch(1)] == [None, None, None]
    assert len(fabric.rung("billing")) == 6
    assert fabric.noted.logged[0] == (
        LogEvent.DOORBELLS_REFUSED,
        {"subscription": "audit", "put_off": 0, "left": 2},
    )
    assert (Metric.DOORBELLS_FAILED, 2, STREAM) in fabric.noted.added
    assert (Metric.DOORBELLS_RUNG, 2, STREAM) in fabric.noted.added


def test_what_both_queues_refuse_for_a_moment_comes_again_from_the_first_change_of_such_a_lane() -> None:
    fabric = Relayed("audit", "billing")
    fabric.queues.refused = frozenset({("audit", lane(1))})
    fabric.queues.without_timers = frozenset({"audit"})
    assert fabric.batch(0, 1) == "p1"
    fabric.clock.advance(HOLD_SECONDS / 2)
    assert fabric.batch(1) == "p0"
    fabric.queues.refused = frozenset()
    assert fabric.batch(1) is None
    fabric.queues.refused = frozenset({"audit"})
    assert fabric.batch(0, 1) == "p0"


def test_what_nobody_foresaw_of_one_queue_is_told_and_holds_up_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fabric = Relayed("audit", "billing")
    fabric.queues.broken = frozenset({"audit"})
    assert fabric.batch(0, 1) is None
    assert len(fabric.rung("billing")) == 2
    assert (Metric.DOORBELLS_FAILED, 2, STREAM) in fabric.noted.added
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [MemoryError]


def freeze(fabric: Relayed, seconds: float) -> None:
    """Freeze the relay's process for a while, of which its steady clock knows nothing."""
    fabric.clock.set_back(-seconds)


def test_a_process_that_is_frozen_between_batches_holds_a_shard_no_longer_than_one_that_runs() -> None:
    fabric = Relayed("audit")
    fabric.gone("audit")
    assert fabric.batch(0) == "p0"
    freeze(fabric, HOLD_SECONDS)
    assert fabric.batch(0) is None


def test_a_process_that_was_frozen_rings_a_queue_that_answers_again() -> None:
    fabric = Relayed("audit")
    fabric.queues.refused = fabric.queues.hanging = frozenset({"audit"})
    fabric.batch(0)
    fabric.queues.refused = fabric.queues.hanging = frozenset()
    freeze(fabric, AGAIN_SECONDS)
    fabric.batch(0)
    assert fabric.rung("audit") == [(lane(0), 2)]


def test_a_timer_that_rang_while_the_process_was_frozen_is_set_again() -> None:
    fabric = Relayed("audit")
    fabric.queues.refused = frozenset({"audit"})
    fabric.batch(0)
    freeze(fabric, AGAIN_SECONDS)
    fabric.batch(0)
    assert fabric.timers("audit") == 2


class SilentLedger:
    """A ledger whose standings do not come: each call for one takes all the time that it has."""

    def __init__(self, fabric: Relayed) -> None:
        self._fabric = fabric
        self.calls = 0

    def standing(self, *_: object) -> Standing:
        self.calls += 1
        self._fabric.clock.advance(seconds_left())
        raise RefusedError("read the standing", "no answer")

    def __getattr__(self, name: str) -> object:
        return getattr(self._fabric.ports(HOME).ledger, name)


@pytest.mark.parametrize(
    ("origin", "settings"),
    [(AWAY, ""), (HOME, 'types = ["Placed"]\nstart = "latest"')],
    ids=["owner", "start"],
)
def test_a_ledger_that_gives_no_answer_is_asked_once_a_batch_and_everything_is_rung(
    origin: Region, settings: str
) -> None:
    fabric = Relayed("audit", deliver=settings)
    ledger = SilentLedger(fabric)
    ports = replace(fabric.ports(HOME), doorbells=fabric.queues, ledger=cast(Ledger, ledger))
    relay = Relay(fabric.stream, region=HOME, ports=ports, telemetry=fabric.noted)
    began_ms = fabric.clock.now_ms()
    news = [
        RecordNews(
            f"p{index}",
            Lane(origin, GENERATION_FIRST, LaneIndex(index)),
            SequenceNumber(1),
            SequenceNumber(0),
            frozenset({"Shipped"}),
            next_time(EMPTY_TAIL.time, began_ms),
        )
        for index in range(8)
    ]
    assert relay.ring(news) is None
    assert len(fabric.rung("audit")) == 8
    assert ledger.calls == 1
    assert fabric.clock.now_ms() - began_ms <= 1000 * CALLS_SECONDS


@pytest.mark.parametrize(("deliver", "calls"), [("", 2), (f'deliver = "one"\nregion = "{AWAY}"', 3)])
def test_a_record_for_a_hundred_subscriptions_is_rung_in_the_time_of_few_calls(
    deliver: str, calls: int
) -> None:
    """By a fresh process, which asks each queue's address first; and where lanes were handed over, who owns them."""
    names = [f"s{number:02d}" for number in range(100)]
    fabric = Relayed(*names, deliver=deliver)
    fabric.queues.call_seconds = CALL_SECONDS  # the address
    for name in names if deliver else ():
        owner = Owner(HOME, HOME, 1, HOME)
        fabric.cloud.ledger(HOME).hand_over(StreamName(STREAM), SubscriptionName(name), None, owner)
    elapsed_seconds = 0.0

    def each_takes_time(name: str, overall: int, of_name: int) -> None:
        fabric.clock.advance(CALL_SECONDS)

    def threads(work: Sequence[Callable[[], None]]) -> None:
        """As many threads as the relay has: each call begins in the one that is free first."""
        nonlocal elapsed_seconds
        free = [0.0] * PARALLEL_QUEUES
        for call in work:
            before_ms = fabric.clock.steady_ms()
            call()
            free.sort()
            free[0] += (fabric.clock.steady_ms() - before_ms) / 1000
        elapsed_seconds = max(free)

    faults = Faults(each_takes_time)
    assert fabric.batch(0, relay=fabric.process(threads, faults)) is None
    assert all(len(fabric.rung(name)) == 1 for name in names)
    assert len(faults.calls) + fabric.queues.calls == 100 * calls
    rounds = ceil(100 / PARALLEL_QUEUES)
    assert elapsed_seconds == pytest.approx(rounds * calls * CALL_SECONDS)
    assert elapsed_seconds < 0.15
