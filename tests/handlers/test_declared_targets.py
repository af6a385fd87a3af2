"""Handlers that publish: their target streams are as they are declared, as for producers, and never by an old zip."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from eventfabric import Delivery, Event
from eventfabric.definition.file import parse_definition
from eventfabric.errors import ThrottledError
from eventfabric.model import (
    GENERATION_FIRST,
    DeclarationLane,
    Lane,
    LaneIndex,
    Recent,
    SequenceNumber,
    StreamName,
    lane_index,
)
from eventfabric.model.catalogue import StreamFacts
from eventfabric.ports import Log
from eventfabric.runtime.declared import DeclaredHere
from eventfabric.runtime.wiring import Runtime
from eventfabric.services.catalogue.declare import declare
from eventfabric.services.catalogue.deployment import Deployer, declare_all
from eventfabric.services.catalogue.known import CATALOGUE_SECONDS, STALE_SECONDS_MAX
from eventfabric.services.catalogue.lane import newest
from eventfabric.telemetry import Metric
from eventfabric.topology import Topology
from eventfabric.wire.keys import record_key
from tests.handlers.test_declared import BELL, HERE, DeclaredFunctions
from tests.handlers.test_functions import US
from tests.support.formats import LATER
from tests.support.memory_fabric import AWAY

INVOICES = "invoices"
LANE = DeclarationLane.of(HERE, StreamName(INVOICES))
KEYS = "abcdefgh"


class CountedReads:
    """Reads of what is declared of the target, by all functions of a fabric. `refuse`: they fail."""

    def __init__(self, functions: "PublishingFunctions") -> None:
        self.count, self.refuse = 0, False
        functions.around = self._log

    def _log(self, log: Log) -> Log:
        return cast(Log, _CountedLog(log, self))


class _CountedLog:
    def __init__(self, log: Log, reads: CountedReads) -> None:
        self._log = log
        self._reads = reads

    def recent(self, of: Lane, **how: Any) -> Recent:
        if of == LANE:
            self._reads.count += 1
            if self._reads.refuse:
                raise ThrottledError("read", "too many")
        return self._log.recent(of, **how)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


def topology(*, guarantee: str = "at_least_once", lanes: int = 1, others: str = "") -> Topology:
    return Topology(
        parse_definition(
            f'[fabric]\nname = "shop"\nregions = ["{US}", "{AWAY}"]\n[streams.orders]\nlanes = 1\n'
            f"[streams.{INVOICES}]\nlanes = {lanes}\n"
            f'[subscriptions.all]\nstream = "orders"\nhandler = "subscribers.any:handle"\n'
            f'guarantee = "{guarantee}"\npublishes = ["{INVOICES}"]\n{others}'
        )
    )


class PublishingFunctions(DeclaredFunctions):
    """Functions of which the handler publishes an invoice for each order. `meanwhile`: done within each attempt."""

    def __init__(self, *, is_declared: bool = True, **of_topology: Any) -> None:
        super().__init__(topology=topology(**of_topology))
        self.meanwhile: Callable[[], None] = lambda: None
        self.around: Callable[[Log], Log] = lambda log: log
        if is_declared:
            declare_all(self.deployer())

    def handle(self, event: Event, delivery: Delivery) -> None:
        super().handle(event, delivery)
        self.meanwhile()
        delivery.publish(INVOICES, key=event.key, type="Billed", data={"of": event.id})

    def order(self, *ids: str) -> None:
        for id_ in ids:
            self.fabric.publish("orders", key=id_, type="Placed", id=id_)
        self.relay()

    def invoices(self) -> list[str]:
        return [event.data["of"] for event in self.events(INVOICES)]

    def runtime(self, subscription: str | None) -> Runtime:
        """Make functions whose reads are counted, if somebody counts them."""
        if subscription not in self._runtimes:
            ports = self.ports()
            log_of = ports.log_of
            self.wrapped = replace(ports, log_of=lambda stream: self.around(log_of(stream)))
            plain = super().runtime(subscription)
            declared = DeclaredHere(HERE, self.wrapped, deployed_at=self._deployed_at)
            self._runtimes[subscription] = replace(plain, declared=declared)
        return self._runtimes[subscription]

    def redeclare(self, **changes: Any) -> None:
        """Declare the target otherwise, and let a minute go by."""
        stream, ports = self.topology.stream(INVOICES), self.ports()
        change = self.deployer(f"r{self.clock.now_ms()}").change("stream deployed")

        def other(facts: StreamFacts) -> StreamFacts:
            return replace(facts, **changes)

        declare(
            ports.log_of(stream),
            LANE,
            lambda read: read and read.with_stream(other(read.stream), change),
            clock=self.clock,
            entropy=self.entropy,
            source=stream.source,
        )
        self.clock.advance(CATALOGUE_SECONDS)

    def delivered_later(self) -> None:
        """Deliver once the doorbell has come again, from its queue or by a timer."""
        self.clock.advance(800)
        assert self.deliver(bodies=(BELL.replace('"tail":1', '"tail":9'),)) == []


def test_lanes_are_those_that_are_declared_and_not_those_of_the_zip() -> None:
    functions = PublishingFunctions(is_declared=False, lanes=1)
    wide = topology(lanes=8)
    log = functions.ports().log_of(wide.stream(INVOICES))
    Deployer(wide, HERE, functions.ports(), by="stack", request_id="wide").declare_stream(
        wide.stream(INVOICES)
    )
    functions.order(*KEYS)
    assert functions.deliver() == []
    lanes = [Lane(HERE, GENERATION_FIRST, LaneIndex(index)) for index in range(8)]
    used = {of.index for of in lanes if log.tail(of).sequence}
    assert used == {lane_index(key, 8) for key in KEYS}
    assert len(used) > 1


def test_where_nothing_is_declared_the_zip_says_how_the_stream_is() -> None:
    functions = PublishingFunctions(is_declared=False)
    functions.order("a", "b")
    assert functions.deliver() == []
    assert functions.invoices() == ["a", "b"]


@pytest.mark.parametrize("guarantee", ["at_most_once", "at_least_once", "exactly_once"])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"closing": (US,)}, {"closing": ()}),
        ({"writes_required": LATER.writes}, {"writes_required": 1}),
        ({"is_deployed": False}, {"is_deployed": True}),
    ],
    ids=["closing", "format", "undeployed"],
)
def test_lanes_wait_while_the_stream_takes_nothing_and_no_handler_is_called(
    guarantee: str, before: dict[str, Any], after: dict[str, Any]
) -> None:
    functions = PublishingFunctions(guarantee=guarantee)
    functions.redeclare(**before)
    functions.order("a")
    assert functions.deliver() != []
    assert (functions.seen, functions.counted.totals[Metric.DELIVERIES_BLOCKED]) == ([], 1)
    functions.redeclare(**after)
    functions.delivered_later()
    assert (functions.seen, functions.invoices()) == (["a"], ["a"])


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_a_region_that_closes_meanwhile_costs_no_attempt_and_takes_nothing(guarantee: str) -> None:
    functions = PublishingFunctions(guarantee=guarantee)
    functions.order("a")
    functions.meanwhile = lambda: functions.redeclare(closing=(US,))
    functions.deliver()
    functions.meanwhile = lambda: None
    assert (functions.seen, functions.invoices()) == (["a"], [])
    assert functions.counted.totals[Metric.DELIVERIES_BLOCKED] == 1
    functions.redeclare(closing=())
    functions.delivered_later()
    assert functions.invoices() == ["a"]
    assert functions.counted.totals.get(Metric.EVENTS_FAILED, 0) == 0


def test_what_is_published_at_most_once_is_counted_if_the_region_closes_after_the_commit() -> None:
    functions = PublishingFunctions(guarantee="at_most_once")
    functions.order("a")
    functions.meanwhile = lambda: functions.redeclare(closing=(US,))
    assert functions.deliver() == []
    assert functions.invoices() == []
    assert functions.counted.totals[Metric.EVENTS_UNPUBLISHED] == 1


def test_a_retention_that_is_declared_later_holds_from_the_next_minute_on() -> None:
    functions = PublishingFunctions()
    functions.order("a")
    functions.deliver()
    functions.redeclare(retention_days=1)
    functions.order("b")
    functions.deliver()
    records = functions.records(Lane.parse(f"{US}/0.0"), INVOICES)
    assert [record.expires_at is None for record in records] == [True, False]


def test_the_stream_is_read_once_a_process_and_again_each_minute_never_for_an_event() -> None:
    functions = PublishingFunctions()
    reads = CountedReads(functions)
    for minute in range(3):
        for number in range(5):
            functions.order(f"{minute}{number}")
            functions.deliver()
        assert reads.count == minute + 1
        functions.clock.advance(CATALOGUE_SECONDS)
    assert len(functions.invoices()) == 15


def test_what_is_known_holds_for_three_minutes_if_it_cannot_be_read_anew() -> None:
    functions = PublishingFunctions()
    reads = CountedReads(functions)
    functions.order("a")
    functions.deliver()
    reads.refuse = True
    functions.clock.advance(CATALOGUE_SECONDS + 1)
    functions.order("b")
    functions.deliver()
    assert functions.invoices() == ["a", "b"]
    functions.clock.advance(STALE_SECONDS_MAX)
    functions.order("c")
    functions.deliver()
    assert functions.invoices() == ["a", "b"]
    reads.refuse = False
    functions.delivered_later()
    assert functions.invoices() == ["a", "b", "c"]


def test_what_is_no_declaration_stops_the_lanes() -> None:
    functions = PublishingFunctions()
    spoilt = {**record_key(LANE, SequenceNumber(1)), "n": {"S": "x"}}
    functions.cloud.log_table(INVOICES, HERE).write("Put", {"Item": spoilt})
    functions.order("a")
    assert functions.deliver() != []
    assert functions.seen == []


def test_the_end_of_another_streams_lane_says_nothing_of_a_restored_table() -> None:
    functions = PublishingFunctions()
    for days in (1, 2, 3):
        Deployer(
            functions.topology, HERE, functions.ports(), by="stack", request_id=f"d{days}"
        ).declare_subscription(functions.topology.subscription("all"))
        functions.deployer(f"u{days}").declare_gone(functions.topology.subscription("all"))
    functions.deployer("last").declare_subscription(functions.topology.subscription("all"))
    own = newest(functions.ports().log_of(functions.stream), DeclarationLane.of(HERE, StreamName("orders")))
    assert own is not None
    functions.deploy(str(own.version))
    functions.order("a")
    assert functions.deliver() == []
    assert functions.invoices() == ["a"]
