"""Somebody's own handlers under faults, in a project that has schemas: what they publish is held to them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eventfabric import Delivery, Event, subscriber
from eventfabric.errors import HandlersFailError
from eventfabric.testing.idempotency.trials import HandlerTrials
from tests.support.schema_folders import written

EVENTS = [
    Event(id=f"s{number}", key=f"k{number % 5}", type="placed", data={"n": number}) for number in range(20)
]
DEFINITION = """
[fabric]
name = "own"
regions = ["us-east-1"]
[streams.orders]
durability = "regional"
[streams.invoices]
durability = "regional"
[subscriptions.taker]
stream = "orders"
handler = "nowhere:function"
publishes = ["invoices"]
"""
BILLED = {"type": "object", "properties": {"n": {"type": "integer"}}}


def trials(folder: Path, handler: Callable[..., Any]) -> HandlerTrials:
    definition = folder / "fabric.toml"
    definition.write_text(DEFINITION, encoding="utf-8")
    written(folder / "schemas", {"invoices/Billed": BILLED})
    return HandlerTrials(definition, events=EVENTS, handlers={"taker": handler})


@subscriber
def bills(event: Event, delivery: Delivery) -> None:
    delivery.publish("invoices", key=event.key, type="Billed", data={"n": event.data["n"]})


@subscriber
def misbills(event: Event, delivery: Delivery) -> None:
    delivery.publish("invoices", key=event.key, type="Billed", data={"n": event.data["n"], "more": 1})


def test_who_publishes_what_fits_is_tried_as_ever(tmp_path: Path) -> None:
    own = trials(tmp_path, bills)
    own.check()
    assert [own.try_seed(seed).error for seed in range(3)] == [""] * 3


def test_who_publishes_what_does_not_fit_fails_without_any_fault(tmp_path: Path) -> None:
    with pytest.raises(HandlersFailError, match="without a name in the schema"):
        trials(tmp_path, misbills).check()
