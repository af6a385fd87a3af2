"""The relay counts events of deprecated types by their source, whoever published them."""

from dataclasses import replace
from typing import Any

import pytest

from eventfabric.definition.sections import Deprecation, TypeSection
from eventfabric.model import Event, Region
from eventfabric.runtime.deprecated import SOURCES_MAX, DeprecatedEvents
from eventfabric.telemetry import LogEvent, Metric
from eventfabric.topology import Topology
from eventfabric.wire.stream_record import from_stream_record
from tests.handlers.test_functions import TOPOLOGY, InvokedFunctions
from tests.support.memory_fabric import Counting

pytestmark = pytest.mark.filterwarnings("ignore::eventfabric.deprecations.FabricDeprecationWarning")


class Telling(Counting):
    """Telemetry that keeps what is said of each log event."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[tuple[LogEvent, dict[str, object]]] = []

    def tell(self, event: LogEvent, **about: object) -> None:
        super().tell(event, **about)
        self.said.append((event, about))


def ending() -> Topology:
    sections = {"Old": TypeSection(deprecated=Deprecation(since="2026-09-01"))}
    orders = replace(TOPOLOGY.definition.streams["orders"], types=sections)
    return Topology(replace(TOPOLOGY.definition, streams={**TOPOLOGY.definition.streams, "orders": orders}))


@pytest.fixture
def telemetry() -> Telling:
    return Telling()


@pytest.fixture
def functions(telemetry: Telling) -> InvokedFunctions:
    return InvokedFunctions(telemetry=telemetry, topology=ending())


def deprecated_of(telemetry: Telling) -> list[tuple[object, object, object]]:
    lines = [about for event, about in telemetry.said if event is LogEvent.DEPRECATED]
    return [(about["type"], about["source"], about["events"]) for about in lines]


def test_each_source_is_named_with_its_number_of_events(
    functions: InvokedFunctions, telemetry: Telling
) -> None:
    publish = functions.fabric.publish
    publish("orders", key="a", type="Old")
    publish("orders", key="b", type="New")
    functions.fabric.publish_many(
        "orders", [Event(key=str(n), type=kind, source="/till") for n in range(4) for kind in ("Old", "New")]
    )
    assert functions.relay() == {"batchItemFailures": []}
    assert telemetry.totals[Metric.EVENTS_DEPRECATED] == 5
    assert set(deprecated_of(telemetry)) == {("Old", "/till", 4), ("Old", "/shop/orders", 1)}


def test_nothing_is_said_where_nothing_is_deprecated(functions: InvokedFunctions, telemetry: Telling) -> None:
    functions.fabric.publish("orders", key="a", type="New")
    functions.relay()
    assert Metric.EVENTS_DEPRECATED not in telemetry.totals
    assert deprecated_of(telemetry) == []


@pytest.mark.parametrize("payload", [{"B": "!"}, {"B": b"\x09"}, {"S": "x"}, {}, None])
def test_a_record_that_cannot_be_read_holds_up_nothing(
    functions: InvokedFunctions, telemetry: Telling, payload: Any
) -> None:
    functions.fabric.publish("orders", key="a", type="Old")

    def spoil(stream_record: dict[str, Any]) -> None:
        stream_record["dynamodb"]["NewImage"]["d"] = payload

    assert functions.relay(spoil) == {"batchItemFailures": []}
    assert len(functions.queue.bodies) == 1
    assert deprecated_of(telemetry) == []


def test_what_came_from_another_region_is_counted_there(
    functions: InvokedFunctions, telemetry: Telling
) -> None:
    functions.fabric.publish("orders", key="a", type="Old")
    seen: list[dict[str, Any]] = []
    functions.relay(seen.append)
    [record] = seen
    news = from_stream_record(record)
    assert news is not None
    telemetry.said.clear()
    events = DeprecatedEvents(Region("eu-west-1"))
    events.see(ending().stream("orders"), news, record)
    events.tell(telemetry)
    assert telemetry.said == []


def test_an_invocation_names_a_bounded_number_of_sources(
    functions: InvokedFunctions, telemetry: Telling
) -> None:
    count = SOURCES_MAX + 5
    functions.fabric.publish_many(
        "orders", [Event(key="a", type="Old", source=f"/s{number}") for number in range(count)]
    )
    functions.relay()
    assert telemetry.totals[Metric.EVENTS_DEPRECATED] == count
    assert len(deprecated_of(telemetry)) == SOURCES_MAX
