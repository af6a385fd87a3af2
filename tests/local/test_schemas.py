"""Schemas in a local fabric: those beside the definition hold producers, handlers, edits and what is delivered."""

from collections.abc import Callable
from pathlib import Path

import pytest

from eventfabric import Delivery, Event
from eventfabric.errors import InvalidEventError
from eventfabric.local import LocalFabric
from tests.support.schema_folders import PLACED, written

US = "us-east-1"
DEFINITION = f"""
[fabric]
name = "shop"
regions = ["{US}"]
[streams.orders]
lanes = 1
[streams.invoices]
lanes = 1
schemas = "required"
[subscriptions.billing]
stream = "orders"
handler = "any.module:handle"
publishes = ["invoices"]
validate = true
retry = {{ immediate = 0, attempts = 1 }}
"""
BILLED = {"type": "object", "required": ["of"], "properties": {"of": {"type": "string"}}}
Handle = Callable[[Event, Delivery], None]


def shop(folder: Path, handle: Handle, *, validates: bool = True) -> LocalFabric:
    definition = folder / "fabric.toml"
    text = DEFINITION if validates else DEFINITION.replace("validate = true", "validate = false")
    definition.write_text(text, encoding="utf-8")
    written(folder / "schemas", {"orders/placed": PLACED, "invoices/billed": BILLED})
    return LocalFabric(definition, handlers={"billing": handle})


def bill(event: Event, delivery: Delivery) -> None:
    delivery.publish("invoices", key="k", type="billed", data={"of": event.data["order"]})


def test_producers_are_held_to_the_schemas_beside_the_definition(tmp_path: Path) -> None:
    with shop(tmp_path, bill) as fabric:
        producer = fabric.region(US)
        with pytest.raises(InvalidEventError):
            producer.publish("orders", key="k", type="placed", data={})
        with pytest.raises(InvalidEventError):
            producer.publish("invoices", key="k", type="unknown", data={})
        producer.publish("orders", key="k", type="placed", data={"order": "A"})
        fabric.settle()
        assert [handled.event.type for handled in fabric.subscription("billing").handled()] == ["placed"]


def test_handlers_are_held_to_them_too(tmp_path: Path) -> None:
    def misbill(event: Event, delivery: Delivery) -> None:
        delivery.publish("invoices", key="k", type="billed", data={"of": 1})

    with shop(tmp_path, misbill) as fabric:
        fabric.region(US).publish("orders", key="k", type="placed", data={"order": "A"})
        fabric.settle()
        [letter] = fabric.operations(US).dead_letters("billing").find()
        assert "data/of" in letter.parked.failure.message


def test_what_went_round_the_schemas_is_a_dead_letter_until_it_is_edited(tmp_path: Path) -> None:
    with shop(tmp_path, bill) as fabric:
        unaware = fabric.region(US)
        unaware._schemas = None  # as of an earlier version, or of another repository
        unaware.publish("orders", key="k", type="placed", data={"order": 17, "since": "later"})
        unaware.publish("orders", key="other", type="placed", data={"order": "B", "since": "later"})
        fabric.settle()
        assert [handled.event.key for handled in fabric.subscription("billing").handled()] == ["other"]
        letters = fabric.operations(US).dead_letters("billing")
        [letter] = letters.find()
        assert letter.parked.failure.error_type.endswith(":UnfitPayloadError")
        assert "data/order" in letter.parked.failure.message
        with pytest.raises(InvalidEventError):
            letters.redrive(letter, replacement=Event(key="k", type="placed", data={"order": 18}))
        letters.redrive(letter, replacement=Event(key="k", type="placed", data={"order": "A"}))
        fabric.settle()
        handled = fabric.subscription("billing").handled()
        assert [own.event.data["order"] for own in handled] == ["B", "A"]


def test_what_is_in_the_log_is_handed_out_and_replayed_without_a_judgement(tmp_path: Path) -> None:
    with shop(tmp_path, lambda event, delivery: None, validates=False) as fabric:
        unaware = fabric.region(US)
        unaware._schemas = None
        unaware.publish("orders", key="k", type="placed", data={"order": 17})
        fabric.settle()
        assert fabric.subscription("billing").replay(US, 0) == 1
        fabric.settle()
        assert [own.event.data for own in fabric.subscription("billing").handled()] == [{"order": 17}] * 2
