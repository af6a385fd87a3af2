"""Tracebacks and log lines show ids and sizes of an event, and never what it holds."""

from dataclasses import fields, is_dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import msgspec
import pytest

import eventfabric.model
from eventfabric import Event, EventFabricError
from eventfabric.model import (
    Batch,
    BatchId,
    Chain,
    Dropped,
    Failure,
    HybridTime,
    Lane,
    Occupied,
    Parked,
    ParkedChange,
    ParkedState,
    Payload,
    Place,
    Record,
    SequenceNumber,
    Settled,
    StepState,
    Write,
    WriteRefused,
)
from eventfabric.ports import Page
from tests.unit.secrets_inside import (
    CONTENT,
    SECRET,
    is_shown_by_its_fields,
    made,
    raised,
    types_of_the_package,
)

LANE = Lane.parse("us-east-1/0.7")
FAILURE = Failure("ValueError", SECRET, SECRET, "a hint", 1, 0, 1, 1)
PARKED = Parked(
    f"k/{SECRET}",
    SECRET,
    ParkedState.DEAD,
    (Place(SequenceNumber(1), SequenceNumber(1)),),
    0,
    FAILURE,
    replacement=CONTENT,
)
BATCH = Batch(BatchId(bytes(16)), 1, frozenset({"placed"}), CONTENT)
RECORD = Record(
    LANE,
    SequenceNumber(0),
    1,
    Chain(bytes(16)),
    BatchId(bytes(16)),
    HybridTime(0),
    frozenset({"placed"}),
    CONTENT,
)
VALUES: list[Any] = [
    Event(type="placed", key=SECRET, id="1", data={"card": SECRET}, headers={"card": SECRET}),
    Payload.of({"card": SECRET}),
    Payload.of(CONTENT),
    BATCH,
    RECORD,
    Page((RECORD,), more=False),
    Occupied(0, RECORD),
    FAILURE,
    PARKED,
    ParkedChange(PARKED, None),
    Settled(
        SequenceNumber(1),
        "edited",
        FAILURE,
        1,
        "me",
        CONTENT,
        Dropped(SECRET, (), SequenceNumber(0), SequenceNumber(0)),
    ),
    Write("Put", {"Item": {"card": {"S": SECRET}}}),
    WriteRefused(0, "ConditionalCheckFailed", "refused", {"card": {"S": SECRET}}),
    StepState(done=True, result=f'"{SECRET}"'),
]
TELLING = frozenset(
    {"payload", "content", "message", "trace", "replacement", "request", "result", "item", "data"}
)
"""Names of fields that hold what an event or a handler's own data holds."""


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_nothing_of_what_an_event_holds_is_shown(value: Any) -> None:
    for shown in (repr(value), str(value), f"{value}", repr([value])):
        assert SECRET not in shown
        assert SECRET not in shown.replace("\\x", "")


@pytest.mark.parametrize(
    "kind",
    [
        type_
        for type_ in types_of_the_package()
        if issubclass(type_, EventFabricError) or is_shown_by_its_fields(type_)
    ],
    ids=lambda kind: f"{kind.__module__.removeprefix('eventfabric.')}.{kind.__name__}",
)
def test_no_type_shows_a_secret_that_is_somewhere_in_it(kind: type) -> None:
    """A new type or field is found by itself: a text is a secret unless its name is that of what names things."""
    value = raised(kind) if issubclass(kind, EventFabricError) else made(kind)
    for shown in (repr(value), str(value), repr({"in": [value]})):
        assert SECRET not in shown


def test_a_size_is_shown() -> None:
    assert repr(Payload.of(CONTENT)) == "Payload(BINARY, 9 bytes)"
    assert "9 bytes" in repr(Event(type="placed", key="k", id="1", data=CONTENT))


def test_every_type_of_the_model_keeps_such_fields_out_of_what_is_shown() -> None:
    names = []
    for module_info in iter_modules(eventfabric.model.__path__, "eventfabric.model."):
        for kind in vars(import_module(module_info.name)).values():
            if isinstance(kind, type) and is_dataclass(kind) and kind.__module__ == module_info.name:
                names += [
                    f"{kind.__name__}.{field.name}"
                    for field in fields(kind)
                    if field.repr and field.name in TELLING
                ]
            elif isinstance(kind, type) and issubclass(kind, msgspec.Struct):
                assert kind.__repr__ is not msgspec.Struct.__repr__
    assert names == ["WriteRefused.message"]  # the service's
