"""Functions go by what is declared: incarnations, retired subscriptions, restored tables, and formats to come."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import eventfabric.handlers.reconcile
from eventfabric import limits
from eventfabric.formats import OWN_FORMATS, Formats
from eventfabric.model import (
    EMPTY_TAIL,
    Chain,
    DeclarationLane,
    Region,
    SchemaLane,
    SequenceNumber,
    StreamName,
    record_at,
)
from eventfabric.model.catalogue import (
    CatalogueVersion,
    Declaration,
    Declared,
    State,
    SubscriptionFacts,
    in_state,
)
from eventfabric.runtime.declared import DeclaredHere
from eventfabric.runtime.wiring import Runtime, using
from eventfabric.services.catalogue.declare import declare
from eventfabric.services.catalogue.deployment import Deployer, declare_all
from eventfabric.services.catalogue.known import CATALOGUE_SECONDS, PAUSE_SECONDS
from eventfabric.services.catalogue.lane import newest
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.faults import Fault, Faults, nth
from eventfabric.testing.memory.queue import MemoryQueue
from eventfabric.testing.memory.requests import Requests
from eventfabric.testing.memory.table_client import TableClient
from eventfabric.topology import Topology
from tests.handlers.test_functions import TOPOLOGY, US, Context, InvokedFunctions
from tests.support.formats import LATER, require
from tests.support.memory_fabric import Counting, batch_of, event

HERE = Region(US)
BELL = '{"stream":"orders","origin":"us-east-1","lane":"0.0","tail":1}'
LANE = DeclarationLane.of(HERE, StreamName("orders"))


class DeclaredFunctions(InvokedFunctions):
    """Functions of which each kind is one process that stays, and reads what is declared."""

    def __init__(
        self, *, deployed_at: str = "", faults: Faults | None = None, topology: Topology = TOPOLOGY
    ) -> None:
        self.counted = Counting()
        super().__init__(telemetry=self.counted, faults=faults, topology=topology)
        self._deployed_at = deployed_at
        self._runtimes: dict[str | None, Runtime] = {}

    def runtime(self, subscription: str | None) -> Runtime:
        if subscription not in self._runtimes:
            runtime = super().runtime(subscription)
            declared = DeclaredHere(HERE, runtime.ports, deployed_at=self._deployed_at)
            self._runtimes[subscription] = replace(runtime, declared=declared)
        return self._runtimes[subscription]

    def deploy(self, version: str) -> None:
        """Replace the functions by others, which are deployed when the lane ends at that version."""
        self._deployed_at = version
        self._runtimes.clear()

    def deployer(self, request: str = "r1") -> Deployer:
        return Deployer(self.topology, HERE, self.ports(), by="stack", request_id=request)

    def change(self, update: Callable[[Declaration], Declaration | None]) -> Declared:
        """Declare something else on top of what is declared, and let a minute go by."""
        log = self.ports().log_of(self.stream)
        declared = declare(
            log,
            LANE,
            lambda read: read and update(read),
            clock=self.clock,
            entropy=self.entropy,
            source="/shop/orders",
        )
        assert declared is not None
        self.clock.advance(CATALOGUE_SECONDS)
        return declared

    def retire(self) -> Declared:
        change = self.deployer("retired").change("retired", "all")
        return self.change(lambda read: in_state(read, "all", State.RETIRED, change))

    def publish(self, id: str) -> None:
        self.fabric.publish("orders", key="a", type="Placed", id=id)
        self.relay()


def test_the_relay_passes_over_declarations_which_are_no_fault() -> None:
    functions = DeclaredFunctions()
    declare_all(functions.deployer())
    handed: list[dict[str, Any]] = []
    assert functions.relay(handed.append) == {"batchItemFailures": []}
    assert (len(handed), functions.queue.bodies) == (1, [])
    assert Metric.STREAM_RECORDS_IGNORED not in functions.counted.totals


def test_what_is_not_declared_runs_as_the_definition_says() -> None:
    functions = DeclaredFunctions()
    functions.publish("1")
    assert functions.deliver() == []
    declare_all(functions.deployer())
    functions.clock.advance(CATALOGUE_SECONDS)
    functions.publish("2")
    assert functions.deliver() == []
    assert functions.seen == ["1", "2"]


def test_a_process_reads_what_is_declared_once_and_again_after_a_minute() -> None:
    functions = DeclaredFunctions()
    declare_all(functions.deployer())
    functions.publish("1")
    reads = [functions.faults.count("log.tail")]
    for seconds in (0, CATALOGUE_SECONDS - 1, 1):
        functions.clock.advance(seconds)
        functions.deliver(bodies=(BELL,))
        reads.append(functions.faults.count("log.tail"))
    assert reads == [1, 2, 2, 3]  # of the relay, and of the function


def test_doorbells_of_a_retired_subscription_are_answered_and_nothing_is_delivered() -> None:
    functions = DeclaredFunctions()
    declare_all(functions.deployer())
    functions.publish("1")
    functions.retire()
    functions.fabric.publish("orders", key="a", type="Placed", id="2")
    for _ in range(3):
        assert functions.deliver(bodies=(BELL,)) == []
    assert (functions.seen, len(functions.queue)) == ([], 0)
    assert functions.logs.getvalue().count("the subscription is retired") == 1
    assert functions.relay() == {"batchItemFailures": []}
    assert functions.queue.bodies == []


def test_a_subscription_that_takes_a_retired_name_begins_anew_with_deliverers_of_its_own() -> None:
    functions = DeclaredFunctions()
    declare_all(functions.deployer())
    functions.publish("1")
    functions.deliver()
    before = functions.runtime("all").as_declared()
    functions.retire()
    functions.deployer("again").declare_subscription(functions.stream.subscriptions[0])
    functions.clock.advance(CATALOGUE_SECONDS)
    functions.publish("2")
    assert functions.deliver() == []
    assert functions.seen == ["1", "1", "2"]
    after = functions.runtime("all").as_declared()
    assert before is not None
    assert after is not None
    assert (before.own.incarnation.number, after.own.incarnation.number) == (0, 1)
    assert after is functions.runtime("all").as_declared()


@pytest.mark.parametrize("state", [State.DRAINING, State.UNDEPLOYED])
def test_what_was_published_is_delivered_until_the_subscription_is_retired(state: State) -> None:
    functions = DeclaredFunctions()
    declare_all(functions.deployer())
    functions.publish("1")
    change = functions.deployer("r2").change(state.value, "all")
    functions.change(lambda read: in_state(read, "all", state, change))
    assert functions.deliver() == []
    assert functions.seen == ["1"]


def test_passes_tell_of_what_waits_for_a_subscription_that_is_not_deployed_any_more() -> None:
    functions = DeclaredFunctions()
    declare_all(functions.deployer())
    functions.fabric.publish("orders", key="a", type="Placed", id="1")
    change = functions.deployer("gone").change(State.UNDEPLOYED.value, "all")
    functions.change(lambda read: in_state(read, "all", State.UNDEPLOYED, change))
    functions.clock.advance(limits.UNRUNG_SECONDS)
    with using(functions.runtime(None)):
        answer = eventfabric.handlers.reconcile.handle({}, Context(900_000))
    assert answer == {"findings": {"orders": {"abandoned": 1}}}
    assert functions.counted.gauges[Metric.FINDINGS_ALARMED, "orders"] == 1


def test_passes_look_after_the_schemas_of_a_region_that_has_left() -> None:
    functions = DeclaredFunctions()
    declare_all(functions.deployer())
    left, change = Region("sa-east-1"), functions.deployer("left").change("stream deployed")
    functions.change(lambda read: read.with_stream(replace(read.stream, former_regions=(left,)), change))
    log, lane = functions.ports().log_of(functions.stream), SchemaLane.of(left, StreamName("orders"))
    place = replace(EMPTY_TAIL, sequence=SequenceNumber(5))
    record = record_at(place, lane, batch_of([event("e")], bytes(16)), now_ms=1, retention_seconds=None)
    assert log.append(record) is None  # with nothing before it
    with using(functions.runtime(None)):
        answer = eventfabric.handlers.reconcile.handle({}, Context(900_000))
    assert answer == {"findings": {"orders": {"replication_delay": 1}}}


class TestStopped:
    """A lane of declarations by which a function cannot go."""

    def stops(self, functions: DeclaredFunctions) -> bool:
        failed = functions.deliver(bodies=(BELL,))
        return failed == [BELL] and functions.counted.totals[Metric.DELIVERIES_BLOCKED] == 1

    @pytest.mark.parametrize("is_declared", [False, True])
    def test_a_table_that_was_restored_stops_functions_that_were_deployed_later(
        self, is_declared: bool
    ) -> None:
        later = CatalogueVersion(SequenceNumber(9), Chain(b"c" * 16))
        functions = DeclaredFunctions(deployed_at=str(later))
        if is_declared:
            declare_all(functions.deployer())
        assert self.stops(functions)
        assert "the table was restored from a backup" in functions.logs.getvalue()

    def test_a_function_goes_on_where_its_lane_has_grown_since_it_was_deployed(self) -> None:
        first = DeclaredFunctions()
        declare_all(first.deployer())
        declared = newest(first.ports().log_of(first.stream), LANE)
        assert declared is not None
        functions = DeclaredFunctions(deployed_at=str(declared.version))
        declare_all(functions.deployer())
        functions.publish("1")
        assert functions.deliver() == []
        functions.retire()
        assert functions.deliver(bodies=(BELL,)) == []

    @pytest.mark.parametrize("formats", [Formats(reads=LATER.reads), Formats(writes=LATER.writes)])
    def test_a_format_that_is_to_come_stops_a_function_that_does_not_know_it(self, formats: Formats) -> None:
        functions = DeclaredFunctions()
        declare_all(functions.deployer())
        require(functions, formats)
        assert self.stops(functions)
        assert f"knows formats up to {OWN_FORMATS.reads}" in functions.logs.getvalue()

    def test_what_is_no_declaration_stops_it(self) -> None:
        functions = DeclaredFunctions()
        table = TableClient(functions.cloud.log_table("orders", US), Requests())
        table.put({"pk": {"S": str(LANE)}, "sk": {"N": "0"}, "n": {"S": "x"}})
        assert self.stops(functions)


@pytest.mark.parametrize("fault", [Fault.LOST_REQUEST, Fault.THROTTLED])
def test_a_first_read_that_fails_for_a_moment_is_made_again(fault: Fault) -> None:
    functions = DeclaredFunctions(faults=Faults(nth(1, fault, name="log.tail")))
    declare_all(functions.deployer())
    functions.fabric.publish("orders", key="a", type="Placed", id="1")
    assert functions.deliver(bodies=(BELL,)) == []


def test_while_what_is_declared_cannot_be_read_lanes_are_rung_again_later() -> None:
    functions = DeclaredFunctions(
        faults=Faults(lambda name, *_: Fault.THROTTLED if name == "log.tail" else None)
    )
    assert functions.deliver(bodies=(BELL,)) == []
    assert functions.cloud.timers("all", US).next_due_ms() is not None
    assert functions.seen == []


class TestRelay:
    """The relay rings for what is declared in its Region."""

    def declared(self, **facts: object) -> DeclaredFunctions:
        functions = DeclaredFunctions()
        declare_all(functions.deployer())
        other = SubscriptionFacts(name="other", handler="a.b:c", **facts)  # type: ignore[arg-type]  # any of them
        change = functions.deployer("r2").change("deployed", "other")
        functions.change(lambda read: read.with_subscription(other, change))
        return functions

    def queue_of_other(self, functions: DeclaredFunctions) -> MemoryQueue:
        queue = MemoryQueue("shop-other.fifo", clock=functions.clock)
        functions.cloud.regions[US].queues[queue.name] = queue
        return queue

    def test_subscriptions_that_the_definition_lacks_are_rung(self) -> None:
        functions = self.declared()
        queue = self.queue_of_other(functions)
        functions.publish("1")
        assert len(queue.bodies) == 1
        assert len(functions.queue.bodies) == 1

    def test_those_that_drain_are_rung(self) -> None:
        functions = self.declared(state=State.DRAINING)
        queue = self.queue_of_other(functions)
        functions.publish("1")
        assert len(queue.bodies) == 1

    def test_one_whose_filter_was_declared_anew_is_rung_by_that(self) -> None:
        picky = replace(TOPOLOGY.definition.subscriptions["all"], types=("Shipped",))
        topology = Topology(replace(TOPOLOGY.definition, subscriptions={"all": picky}))
        functions = DeclaredFunctions(topology=topology)
        declare_all(functions.deployer())
        rung = []
        for types in ("Shipped", "Placed"), ("Shipped",), None:
            change = functions.deployer(str(types)).change("deployed", "all")

            def deployed(read: Declaration) -> Declaration:
                own = replace(read.subscriptions["all"], types=types)  # noqa: B023  # called at once
                return read.with_subscription(own, change)  # noqa: B023  # called at once

            functions.change(deployed)
            functions.publish(str(types))
            rung.append(len(functions.queue.bodies))
        assert rung == [1, 1, 2]

    def test_an_incarnation_is_rung_by_where_it_stands_and_not_by_where_the_one_before_stood(self) -> None:
        functions = DeclaredFunctions()
        declare_all(functions.deployer())
        functions.retire()
        functions.deployer("again").declare_subscription(functions.stream.subscriptions[0])
        functions.clock.advance(CATALOGUE_SECONDS)
        declared = functions.runtime(None).declared
        assert declared is not None
        [own] = declared.rung(functions.stream)
        assert own.state_name == "all#1"

    @pytest.mark.parametrize("state", [State.RETIRED, State.UNDEPLOYED])
    def test_those_that_have_gone_are_not(self, state: State) -> None:
        functions = self.declared(state=state)
        queue = self.queue_of_other(functions)
        functions.publish("1")
        assert queue.bodies == []

    def test_a_ring_whose_queue_is_not_there_is_dropped_and_the_catalogue_read_anew(self) -> None:
        functions = self.declared()
        reads = []
        for number in range(20):
            functions.publish(str(number))
            reads.append(functions.faults.count("log.tail"))
            functions.clock.advance(PAUSE_SECONDS / 10)
        assert (reads[0], reads[-1]) == (1, 2)
        assert functions.cloud.timers("all", US).next_due_ms() is None
        assert len(functions.queue.bodies) == 20

    def test_while_the_catalogue_cannot_be_read_the_definition_holds(self) -> None:
        functions = DeclaredFunctions(
            faults=Faults(lambda name, *_: Fault.LOST_REQUEST if name == "log.tail" else None)
        )
        functions.publish("1")
        assert len(functions.queue.bodies) == 1

    def test_one_that_is_too_old_for_the_stream_rings_for_every_record(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        picky = replace(TOPOLOGY.definition.subscriptions["all"], types=("Shipped",))
        topology = Topology(replace(TOPOLOGY.definition, subscriptions={"all": picky}))
        functions = DeclaredFunctions(topology=topology)
        declare_all(functions.deployer())
        rung = []
        for id in ("1", "2"):
            functions.publish(id)
            rung.append(len(functions.queue.bodies))
            require(functions, Formats(reads=LATER.reads))
            functions.clock.advance(CATALOGUE_SECONDS)
        assert rung == [0, 1]
        assert "stream orders is read in format 2" in caplog.text

    def test_declarations_are_no_news(self) -> None:
        functions = DeclaredFunctions()
        declare_all(functions.deployer())
        assert functions.relay() == {"batchItemFailures": []}
        assert functions.queue.bodies == []
        assert "is not the log's" not in functions.logs.getvalue()
