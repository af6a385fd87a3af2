"""Events that cannot be published: where the problem is, what was found there, what is allowed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from typing import Any
from uuid import UUID

import msgspec
import pytest

from eventfabric.errors import InvalidEventError, Problem
from eventfabric.model import Event, check_event, checked_json, encode_json, stored_time
from tests.support.messages import TextWith

TIME = TextWith("aware datetime", "RFC 3339", "zone")
KEY = TextWith("text", "1 to 1024 bytes", "UTF-8")
NAME = TextWith("1 to 20", "lower-case letters", "digits", "CloudEvents")
VALUE = TextWith("text", "bool", "32-bit integer")
JSON = TextWith(
    "JSON", *("dict", "list", "str", "int", "float", "bool", "None"), "dataclasses", "pydantic models"
)
READ_BACK = TextWith("JSON", "read back")
LONG_NAME = "N" * 100


def refused(**changed: object) -> tuple[Problem, ...]:
    """All that is wrong with an event that is good but for these attributes."""
    good: dict[str, Any] = {"id": "1", "type": "placed", "key": "k", "source": "/s", "headers": None}
    with pytest.raises(InvalidEventError) as raised:
        check_event(**{**good, **changed})
    return raised.value.problems


@pytest.mark.parametrize(
    ("name", "value", "actual", "allowed"),
    [
        ("id", None, "None", TextWith("text", "1 to 128 characters")),
        ("id", "", "0 characters", "1 to 128 characters"),
        ("type", 5, "5", TextWith("text", "1 to 128 characters")),
        ("type", "x" * 129, "129 characters", "1 to 128 characters"),
        ("source", b"/s", "b'/s'", TextWith("text", "1 to 512 characters")),
        ("source", "x" * 513, "513 characters", "1 to 512 characters"),
        ("source", ["x" * 99], "['" + "x" * 78, TextWith("text", "1 to 512 characters")),
        ("key", None, "None", KEY),
        ("key", ["x" * 99], "['" + "x" * 78, KEY),
        ("key", "\ud800" * 300, "a lone surrogate", KEY),
        ("key", "", "0 bytes", KEY),
        ("key", "é" * 513, "1026 bytes", KEY),
        ("headers", "abc", "'abc'", TextWith("mapping")),
        ("headers", ["x" * 99], "['" + "x" * 78, TextWith("mapping")),
        ("headers", {f"h{number}": "v" for number in range(65)}, "65 headers", "at most 64"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_an_attribute_that_is_wrong_is_named_with_what_it_holds_and_what_it_may(
    name: str, value: object, actual: str, allowed: str
) -> None:
    assert refused(**{name: value}) == (Problem(name, actual, allowed),)


@pytest.mark.parametrize(
    ("headers", "problems"),
    [
        ({"A": "v"}, [Problem("headers.A", "the name", NAME)]),
        ({7: "v"}, [Problem("headers.7", "the name", NAME)]),
        ({"x" * 21: "v"}, [Problem(f"headers.{'x' * 21}", "the name", NAME)]),
        ({LONG_NAME: "v"}, [Problem(f"headers.{'N' * 72}", "the name", NAME)]),
        ({"h": "v" * 4097}, [Problem("headers.h", "4097 characters", "at most 4096 characters")]),
        ({"h": 1.5}, [Problem("headers.h", "1.5", VALUE)]),
        ({"h": ["x" * 99]}, [Problem("headers.h", "['" + "x" * 78, VALUE)]),
        ({"h": 2**31}, [Problem("headers.h", "2147483648", VALUE)]),
        ({"h": -(2**31) - 1}, [Problem("headers.h", "-2147483649", VALUE)]),
        (
            {LONG_NAME: None},
            [Problem(f"headers.{'N' * 72}", "the name", NAME), Problem(f"headers.{'N' * 72}", "None", VALUE)],
        ),
        ({"h": 1.5, "i": b"v"}, [Problem("headers.h", "1.5", VALUE), Problem("headers.i", "b'v'", VALUE)]),
        (
            {"h": "v" * 4097, "i": None},
            [
                Problem("headers.h", "4097 characters", "at most 4096 characters"),
                Problem("headers.i", "None", VALUE),
            ],
        ),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_each_header_that_is_wrong_is_named(
    headers: Mapping[object, object], problems: list[Problem]
) -> None:
    assert refused(headers=headers) == tuple(problems)


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type", "time", "partitionkey", "data"])
def test_a_header_cannot_be_named_as_an_attribute_that_cloudevents_has(name: str) -> None:
    assert refused(headers={name: "v"}) == (Problem(f"headers.{name}", "the name", NAME),)


def test_a_name_that_cloudevents_uses_for_data_in_base64_is_refused_for_its_underscore_too() -> None:
    assert refused(headers={"data_base64": "v"}) == (Problem("headers.data_base64", "the name", NAME),)


@pytest.mark.parametrize(
    ("time", "actual"),
    [
        ("today", "'today'"),
        (1.5, "1.5"),
        (datetime(2026, 11, 23), "'2026-11-23T00:00:00'"),  # noqa: DTZ001  a naive time is what is tried
        ("2026-13-23T09:47:32Z", "'2026-13-23T09:47:32Z'"),
        ("x" * 100, "'" + "x" * 79),
    ],
    ids=repr,
)
def test_what_is_no_time_is_named_with_what_may_be(time: Any, actual: str) -> None:
    with pytest.raises(InvalidEventError) as raised:
        stored_time(time)
    assert raised.value.problems == (Problem("time", actual, TIME),)


@dataclass
class Order:
    total: object


class Line(msgspec.Struct):
    price: object


class NoModel:
    """Encodes itself, but not as it stands."""

    def model_dump_json(self) -> str:
        raise ValueError("the note has no UTF-8")


@pytest.mark.parametrize(
    ("data", "name"),
    [(object(), "object"), ([1j], "list"), (NoModel(), "NoModel")],
    ids=["object", "list", "model"],
)
def test_data_that_is_no_json_is_named_by_its_type_with_what_the_encoder_says(
    data: object, name: str
) -> None:
    with pytest.raises(InvalidEventError) as raised:
        encode_json(data)
    cause = raised.value.__cause__
    assert isinstance(cause, TypeError | ValueError)
    assert str(cause)
    assert raised.value.problems == (Problem("data", TextWith(name, cause), JSON),)


@pytest.mark.parametrize("encode", [checked_json, lambda text: encode_json(msgspec.Raw(text))])
def test_json_text_that_nobody_can_read_back_is_refused_with_what_the_decoder_says(encode: Any) -> None:
    with pytest.raises(InvalidEventError) as raised:
        encode(b"{not json")
    cause = raised.value.__cause__
    assert isinstance(cause, ValueError)
    assert raised.value.problems == (Problem("data", str(cause), READ_BACK),)


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (Order({"net": float("nan")}), "data.total.net"),
        (Order((1, Line(float("nan")))), "data.total[1].price"),
        ({"line": Line([None, float("nan")])}, "data.line.price[1]"),
        ([{"of": Order(float("nan"))}], "data[0].of.total"),
    ],
    ids=lambda value: repr(value)[:9],
)
def test_a_number_that_json_does_not_have_is_found_within_objects_of_any_kind(
    data: object, path: str
) -> None:
    with pytest.raises(InvalidEventError) as raised:
        encode_json(data)
    assert raised.value.problems == (Problem(path, "nan", "a finite number"),)


def test_an_event_that_was_made_stands_nowhere_yet() -> None:
    event = Event(type="placed", key="k", id="1", source="/s")
    assert (event.origin, event.lane, event.sequence, event.later, event.late) == (None,) * 4 + (False,)
    assert (event.headers, event.time, event.time_text, event.stored_time) == ({}, None, None, None)


@pytest.mark.parametrize("headers", [None, {"h": "v"}], ids=["no headers", "headers"])
@pytest.mark.parametrize(
    ("name", "most"), [("id", 128), ("type", 128), ("source", 512), ("key", 256), ("key", 1024)]
)
def test_an_attribute_may_be_as_short_and_as_long_as_the_bounds_allow(
    name: str, most: int, headers: Mapping[str, str] | None
) -> None:
    good: dict[str, Any] = {"id": "1", "type": "placed", "key": "k", "source": "/s", "headers": headers}
    for length in (1, most):
        check_event(**{**good, name: "x" * length})


class Colour(Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (date(2026, 11, 23), "2026-11-23"),
        (Colour.RED, "red"),
        ({date(2026, 11, 23): 1}, {"2026-11-23": 1}),
        ((b"x",), ["eA=="]),
    ],
    ids=repr,
)
def test_values_that_have_a_text_in_json_may_stand_beside_null(value: object, text: object) -> None:
    assert msgspec.json.decode(encode_json({"of": value, "none": None})) == {"of": text, "none": None}
