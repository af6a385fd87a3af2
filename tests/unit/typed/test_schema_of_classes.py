"""Payload classes to schemas: equal classes of every kind have equal schemas, in standard keywords."""

import datetime
from dataclasses import dataclass, field
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, TypedDict
from uuid import UUID

import msgspec
import pydantic
import pytest
from jsonschema import Draft202012Validator
from msgspec import UNSET, Meta, UnsetType

from eventfabric import Event, OpenEnum
from eventfabric.contracts.closing import closed
from eventfabric.contracts.keywords import DIALECT
from eventfabric.errors import HandlerError
from eventfabric.sdk.wants import payload_decoder
from eventfabric.typed.classes import load_class, schema_of


class Colour(OpenEnum):
    RED = "red"
    BLUE = "blue"


class Status(StrEnum):
    PLACED = "placed"
    PAID = "paid"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Card(msgspec.Struct, tag="card"):
    number: str


class Cash(msgspec.Struct, tag="cash"):
    pass


class Line(msgspec.Struct):
    sku: str
    parts: "list[Line]" = []


class OrderPlaced(msgspec.Struct, rename="camel"):
    """An order was placed.

    By a customer.
    """

    order_id: str
    """Its number."""
    lines: list[Line]
    customer: str | None
    payment: Card | Cash
    colour: Colour = Colour.RED
    note: str | UnsetType = UNSET
    referrer: str | None = None


def test_a_struct_has_the_schema_of_what_is_published() -> None:
    assert schema_of(OrderPlaced) == {
        "$schema": DIALECT,
        "description": "An order was placed.\n\nBy a customer.",
        "type": "object",
        "properties": {
            "orderId": {"type": "string", "description": "Its number."},
            "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}},
            "customer": {"type": ["string", "null"]},
            "payment": {"anyOf": [{"$ref": "#/$defs/Card"}, {"$ref": "#/$defs/Cash"}]},
            "colour": {"$ref": "#/$defs/Colour", "default": "red"},
            "note": {"type": "string"},
            "referrer": {"type": ["string", "null"], "default": None},
        },
        "required": ["customer", "lines", "orderId", "payment"],
        "$defs": {
            "Card": {
                "type": "object",
                "properties": {"type": {"const": "card"}, "number": {"type": "string"}},
                "required": ["number", "type"],
            },
            "Cash": {"type": "object", "properties": {"type": {"const": "cash"}}, "required": ["type"]},
            "Colour": {"anyOf": [{"enum": ["blue", "red"]}, {"type": "string"}]},
            "Line": {
                "type": "object",
                "properties": {
                    "sku": {"type": "string"},
                    "parts": {"type": "array", "items": {"$ref": "#/$defs/Line"}, "default": []},
                },
                "required": ["sku"],
            },
        },
    }


class AStruct(msgspec.Struct):
    """A place."""

    city: str
    floor: Annotated[int, Meta(ge=0)] | None = None
    status: Status = Status.PLACED
    tags: list[str] = []
    level: Level = Level.LOW
    kind: Literal["a", "b"] = "a"
    opened: Annotated[datetime.datetime, Meta(tz=True)] | None = None


@dataclass
class ADataclass:
    """A place."""

    city: str
    floor: Annotated[int, Meta(ge=0)] | None = None
    status: Status = Status.PLACED
    tags: list[str] = field(default_factory=list)
    level: Level = Level.LOW
    kind: Literal["a", "b"] = "a"
    opened: Annotated[datetime.datetime, Meta(tz=True)] | None = None


class AModel(pydantic.BaseModel):
    """A place."""

    city: str
    floor: Annotated[int, pydantic.Field(ge=0)] | None = None
    status: Status = Status.PLACED
    tags: list[str] = []
    level: Level = Level.LOW
    kind: Literal["a", "b"] = "a"
    opened: pydantic.AwareDatetime | None = None


def test_equal_classes_have_equal_schemas_whichever_library_they_are_of() -> None:
    assert schema_of(AStruct) == schema_of(ADataclass) == schema_of(AModel)


class ATypedDict(TypedDict):
    city: str
    floor: NotRequired[int]


class APoint(NamedTuple):
    x: float
    y: float


def test_typed_dicts_and_named_tuples_have_schemas_too() -> None:
    assert schema_of(ATypedDict)["required"] == ["city"]
    assert schema_of(APoint)["prefixItems"] == [{"type": "number"}, {"type": "number"}]


class Cat(pydantic.BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int


class Dog(pydantic.BaseModel):
    kind: Literal["dog"] = "dog"
    friend: "Pet | None" = None


Pet = Annotated[Cat | Dog, pydantic.Field(discriminator="kind")]


def test_the_member_that_tells_models_apart_is_required_since_it_is_always_written() -> None:
    schema = schema_of(Dog)
    assert "discriminator" not in str(schema)
    assert schema["$defs"]["Cat"]["required"] == ["kind", "lives"]
    assert schema["properties"]["friend"]["anyOf"] == [
        {"$ref": "#"},
        {"$ref": "#/$defs/Cat"},
        {"type": "null"},
    ]


class Price(msgspec.Struct):
    amount: Decimal = Decimal("1.10")
    id: UUID | None = None
    data: bytes = b""
    anything: Any = None


class ModelOfPrice(pydantic.BaseModel):
    amount: Decimal = Decimal("1.10")


@pytest.mark.parametrize("cls", [Price, ModelOfPrice, OrderPlaced, AStruct, AModel])
def test_what_is_published_of_an_object_is_valid_against_its_class(cls: Any) -> None:
    given = {
        OrderPlaced: lambda: OrderPlaced("1", [Line("a", [Line("b")])], None, Card("4"), Colour("green")),
        AStruct: lambda: AStruct("Oslo", 3),
        AModel: lambda: AModel(city="Oslo", floor=3),
    }
    published = Event(type="T", key="k", data=given.get(cls, cls)()).data
    schema = schema_of(cls)
    Draft202012Validator.check_schema(schema)
    assert list(Draft202012Validator(schema).iter_errors(published)) == []


class Open(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    a: int


class OpenToNumbers(Open):
    __pydantic_extra__: dict[str, int]


class Holder(pydantic.BaseModel):
    either: Cat | dict[str, Any]
    mine: Open | None = None
    all: list[Open] = []


class HolderOfMsgspec(msgspec.Struct):
    either: dict[str, Any] | APoint | None


@pytest.mark.parametrize(
    "value",
    [
        Open(a=1, b=2),
        OpenToNumbers(a=1, b=2),
        Holder(either={"b": 1}, mine=Open(a=1, b=2), all=[Open(a=1, c=3)]),
        HolderOfMsgspec({"b": 1}),
    ],
)
def test_who_publishes_may_add_the_members_that_a_class_takes(value: Any) -> None:
    schema = schema_of(type(value))
    data = Event(type="T", key="k", data=value).data
    for own in (schema, closed(schema)):
        Draft202012Validator(own).validate(data)


def test_a_recursive_class_refers_to_the_whole() -> None:
    assert schema_of(Line)["properties"]["parts"]["items"] == {"$ref": "#"}


class Unfit:
    pass


def annotated(annotation: str) -> list[Any]:
    """Return classes of each kind with a member of which only the text of its annotation is known."""
    given: Any = {"member": annotation}
    bases: dict[str, Any] = {"__annotations__": given, "__module__": __name__}
    return [
        dataclass(type("AnnotatedDataclass", (), dict(bases))),
        type("AnnotatedStruct", (msgspec.Struct,), dict(bases)),
        TypedDict("AnnotatedDict", given),  # type: ignore[operator]  # made of what a test gives
        NamedTuple("AnnotatedTuple", given.items()),
    ]


class OfObject(msgspec.Struct):
    member: Any = Unfit()


class WithHook:
    @classmethod
    def __get_pydantic_core_schema__(cls, *_: Any) -> None:
        raise ZeroDivisionError


@pytest.mark.parametrize("cls", [Unfit, 3, "text", OfObject, WithHook])
def test_what_is_no_payload_is_refused_with_one_error(cls: Any) -> None:
    with pytest.raises(HandlerError, match="allowed"):
        schema_of(cls)


@pytest.mark.parametrize("annotation", ["OnlyForTypeCheckers", "msgspec.Nothing", "1 / 0", "int['x']"])
def test_annotations_that_cannot_be_read_are_refused_with_one_error(annotation: str) -> None:
    for cls in annotated(annotation):
        with pytest.raises(HandlerError, match="allowed"):
            schema_of(cls)
        with pytest.raises(HandlerError, match="allowed"):
            payload_decoder(cls)


@pytest.mark.parametrize("path", ["nowhere:Class", "json:Nothing", "json"])
def test_a_class_that_does_not_exist_is_refused(path: str) -> None:
    with pytest.raises(HandlerError, match=r"class .*allowed: package.module:Class"):
        load_class(path)


def test_an_open_enum_takes_values_that_it_does_not_know() -> None:
    unknown = msgspec.json.decode(b'"green"', type=Colour)
    assert (unknown, unknown.is_known, Colour.RED.is_known) == ("green", False, True)
    assert msgspec.json.encode(unknown) == b'"green"'
    assert list(Colour) == [Colour.RED, Colour.BLUE]
    with pytest.raises(ValueError):
        msgspec.json.decode(b"3", type=Colour)
