"""Why a payload is not of a type, without any of its values or names."""

from enum import Enum
from typing import Annotated, Any

import msgspec
import pydantic
import pytest

from eventfabric import Event
from eventfabric.errors import UndecodablePayloadError
from eventfabric.sdk.wants import payload_decoder
from eventfabric.typed.classes import member_names
from eventfabric.typed.misfits import misfit_of

SECRET = "opensesame"


class Colour(Enum):
    RED = "red"


class Line(msgspec.Struct, forbid_unknown_fields=True):
    sku: str
    count: Annotated[int, msgspec.Meta(ge=1)] = 1


class Order(msgspec.Struct):
    lines: list[Line] = []
    places: dict[str, int] = {}
    colour: Colour = Colour.RED
    code: Annotated[str, msgspec.Meta(pattern="^[0-9]+$")] = "1"


class Model(pydantic.BaseModel):
    count: int = 1
    places: dict[str, int] = {}


@pytest.mark.parametrize(
    ("payload_type", "data", "path"),
    [
        (Order, {"lines": [{"sku": "a"}, {"sku": 5}]}, "data/lines/1/sku"),
        (Order, {"lines": [{}]}, "data/lines/0"),
        (Order, {"lines": [{"sku": "a", "count": 0}]}, "data/lines/0/count"),
        (Order, {"lines": [{"sku": "a", SECRET: 0}]}, "data/lines/0"),
        (Order, {"places": {SECRET: "x"}}, "data/places/*"),
        (Order, {"colour": SECRET}, "data/colour"),
        (Order, {"code": SECRET}, "data/code"),
        (Order, SECRET, "data"),
        (Model, {"count": SECRET}, "data/count"),
        (Model, {"places": {SECRET: SECRET}}, "data/places/*"),
        (Model, SECRET, "data"),
    ],
)
def test_a_misfit_is_said_by_its_place_and_rule(payload_type: Any, data: object, path: str) -> None:
    with pytest.raises(UndecodablePayloadError) as refused:
        payload_decoder(payload_type)(Event(type="T", key="k", data=data))
    problem = misfit_of(refused.value.__cause__, known=member_names(payload_type))
    assert problem.path == path
    assert SECRET not in str(problem)


def test_what_a_class_itself_says_is_not_repeated() -> None:
    class Checked(msgspec.Struct):
        card: str

        def __post_init__(self) -> None:
            raise ValueError(f"card {self.card}")

    with pytest.raises(UndecodablePayloadError) as refused:
        payload_decoder(Checked)(Event(type="T", key="k", data={"card": SECRET}))
    assert SECRET not in str(misfit_of(refused.value.__cause__, known=member_names(Checked)))
