"""Upcasters on the local fabric: versions come from the registry, and only the handler sees other data."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from eventfabric import Delivery, upcast
from eventfabric.contracts.document import SchemaDocument, read_schema
from eventfabric.contracts.identity import DATA_SCHEMA, SchemaIdentity
from eventfabric.definition.file import parse_definition
from eventfabric.errors import HandlerError
from eventfabric.services.catalogue.schema_lane import SchemaReader
from eventfabric.services.catalogue.schema_push import Registration
from eventfabric.testing.local.fabric import LocalFabric
from eventfabric.topology import Topology

HOME, AWAY = "us-east-1", "eu-west-1"
MODULE = "handlers_of_upcasting"
TEXT = f"""
[fabric]
name = "shop"
regions = ["{HOME}", "{AWAY}"]
[streams.orders]
lanes = 1
[subscriptions.billing]
stream = "orders"
handler = "{MODULE}:charge"
retry = {{ immediate = 0, attempts = 5, backoff_seconds = 5.0 }}
"""
DEFINITION = parse_definition(TEXT)
SECRET = "opensesame"


@dataclass
class Order:
    order: str
    currency: str


class Handled(ModuleType):
    """A project's module of handlers, with what it has seen."""

    def __init__(self) -> None:
        super().__init__(MODULE)
        self.seen: list[tuple[str, str]] = []

        def charge(order: Order, delivery: Delivery) -> None:
            self.seen.append((order.order, order.currency))

        charge.__module__ = MODULE
        self.charge = charge

        @upcast("OrderPlaced", 0, 1)
        def of_text(data: Any) -> Any:
            return {"order": data}

        @upcast("OrderPlaced", 1, 2)
        def with_currency(data: Any) -> Any:
            if data["order"] == "bad":
                raise ValueError(SECRET)
            return {**data, "currency": "EUR"}

        self.of_text, self.with_currency = of_text, with_currency


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Handled:
    made = Handled()
    monkeypatch.setitem(sys.modules, MODULE, made)
    return made


@pytest.fixture
def fabric(module: Handled) -> Iterator[LocalFabric]:
    with LocalFabric(DEFINITION, handlers={"billing": module.charge}) as fabric:
        yield fabric


SCHEMAS = [read_schema(f'{{"description": "version {number}"}}', where="-") for number in (1, 2, 3)]


def register(fabric: LocalFabric, document: SchemaDocument) -> None:
    ports, stream = fabric.ports(HOME), Topology(DEFINITION).stream("orders")
    reader = SchemaReader(stream, ports.log_of(stream))
    registration = Registration(
        reader, lambda *_: (), ports.clock, ports.entropy, by="a test", request_id=document.digest
    )
    registration.register({"OrderPlaced": document})


def publish(
    fabric: LocalFabric, data: object, document: SchemaDocument | None = None, key: str = "k"
) -> None:
    named = (
        {}
        if document is None
        else {DATA_SCHEMA: str(SchemaIdentity("orders", "OrderPlaced", document.digest))}
    )
    fabric.region(HOME).publish("orders", key=key, type="OrderPlaced", data=data, headers=named)


def test_a_handler_knows_one_version_of_events_of_all(fabric: LocalFabric, module: Handled) -> None:
    for document in SCHEMAS[:2]:
        register(fabric, document)
    publish(fabric, "old")
    publish(fabric, {"order": "first"}, SCHEMAS[0])
    publish(fabric, {"order": "second", "currency": "USD"}, SCHEMAS[1])
    fabric.settle()
    assert module.seen == [("old", "EUR"), ("first", "EUR"), ("second", "USD")]
    assert all(proof.is_proven for proof in fabric.subscription("billing").prove())
    # The log has what was published, and so has whoever looks at what was handled.
    assert next(iter(fabric.subscription("billing").handled())).event.data == "old"


def test_a_schema_that_is_registered_later_is_met_without_a_new_function(
    fabric: LocalFabric, module: Handled
) -> None:
    register(fabric, SCHEMAS[0])
    publish(fabric, {"order": "first"}, SCHEMAS[0])
    fabric.settle()
    fabric.run_for(2)
    publish(fabric, {"order": "second", "currency": "USD"}, SCHEMAS[1], key="other")
    fabric.settle()
    register(fabric, SCHEMAS[1])
    fabric.settle(timers=True)
    assert module.seen == [("first", "EUR"), ("second", "USD")]


def test_an_event_whose_upcaster_fails_is_a_dead_letter_at_once_and_alone(
    fabric: LocalFabric, module: Handled
) -> None:
    register(fabric, SCHEMAS[0])
    for number, order in enumerate(["a", "bad", "b"]):
        publish(fabric, {"order": order}, SCHEMAS[0], key=f"k{number}")
    fabric.settle()
    assert [order for order, _ in module.seen] == ["a", "b"]
    [letter] = fabric.subscription("billing").dead_letters()
    assert letter.parked.failure.attempts == 1
    assert "upcaster" in letter.parked.failure.hint
    module.with_currency.function = lambda data: {**data, "currency": "EUR"}
    fabric.subscription("billing").redrive()
    fabric.settle()
    assert ("bad", "EUR") in module.seen


def test_events_are_upcast_again_when_they_are_replayed(fabric: LocalFabric, module: Handled) -> None:
    register(fabric, SCHEMAS[0])
    publish(fabric, {"order": "first"}, SCHEMAS[0])
    fabric.settle()
    fabric.subscription("billing").replay(HOME, 0)
    fabric.settle()
    assert module.seen == [("first", "EUR")] * 2


def test_a_chain_with_a_gap_is_refused_when_the_function_starts(module: Handled) -> None:
    @upcast("OrderPlaced", 3, 4)
    def beyond(data: Any) -> Any:
        return data

    vars(module)["beyond"] = beyond
    with LocalFabric(DEFINITION, handlers={"billing": module.charge}) as fabric:
        publish(fabric, "old")
        with pytest.raises(HandlerError, match="OrderPlaced from 2"):
            fabric.settle()


@pytest.mark.parametrize(("later", "currency"), [([], "USD"), (SCHEMAS[1::-1], "EUR")])
def test_the_schema_beside_the_definition_is_the_newest_unless_it_was_taken_back(
    module: Handled, tmp_path: Path, later: list[SchemaDocument], currency: str
) -> None:
    """In a new stage it is version 1 and what the handler knows; registered anew after version 2, it is old data."""
    definition, file = tmp_path / "fabric.toml", tmp_path / "schemas/orders/OrderPlaced.json"
    file.parent.mkdir(parents=True)
    file.write_bytes(SCHEMAS[0].content)
    definition.write_text(TEXT)
    with LocalFabric(definition, handlers={"billing": module.charge}) as fabric:
        for document in later:
            register(fabric, document)
        publish(fabric, {"order": "first", "currency": "USD"}, SCHEMAS[0])
        fabric.settle()
    assert module.seen == [("first", currency)]
