"""The event as users make it: what it keeps, and every refusal with its reason."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from pydantic import BaseModel

from eventfabric import limits
from eventfabric.errors import InvalidEventError
from eventfabric.model import Event, Kind, Payload, check_event, stored_time
from tests.support.strategies import events, json_values, times

NAN, INFINITY = float("nan"), float("inf")


@dataclass
class Order:
    total: float
    lines: list[Any]


class OrderStruct(msgspec.Struct):
    total: float
    note: str | None = None


class OrderModel(BaseModel):
    total: float
    note: str | None = None


def attributes(**changed: object) -> dict[str, Any]:
    good: dict[str, object] = {"id": "1", "type": "placed", "key": "k", "source": "/s", "headers": None}
    return {**good, **changed}


def problems(**changed: object) -> list[str]:
    """Return the paths at which an event with these attributes is wrong."""
    with pytest.raises(InvalidEventError) as raised:
        check_event(**attributes(**changed))
    return [problem.path for problem in raised.value.problems]


@given(json_values)
def test_json_data_comes_back_as_it_was(data: Any) -> None:
    assert Payload.of(data).decode() == data


@pytest.mark.parametrize(
    "data", [b"", b"\x00\xff", bytearray(b"x"), memoryview(b"y")], ids=lambda data: type(data).__name__
)
def test_bytes_are_kept_as_bytes(data: bytes) -> None:
    payload = Payload.of(data)
    assert payload.kind == Kind.BINARY
    assert payload.decode() == bytes(data)


@pytest.mark.parametrize("data", [Order(1.5, [None]), OrderStruct(1.5), OrderModel(total=1.5)], ids=repr)
def test_objects_that_encode_to_json_are_data(data: object) -> None:
    assert Event(type="t", key="k", data=data).data["total"] == 1.5


def test_no_data_is_none() -> None:
    assert Event(type="t", key="k").data is None


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (NAN, "data"),
        ({"a": [1, INFINITY]}, "data.a[1]"),
        ({"a": None, "b": {"c": -INFINITY}}, "data.b.c"),
        (Order(NAN, []), "data.total"),
        (Order(1, [{"x": (NAN,)}]), "data.lines[0].x[0]"),
        (OrderStruct(NAN), "data.total"),
        (OrderModel(total=NAN), "data.total"),
    ],
    ids=repr,
)
def test_numbers_that_json_does_not_have_are_refused_and_not_written_as_null(
    data: object, where: str
) -> None:
    with pytest.raises(InvalidEventError) as raised:
        Event(type="t", key="k", data=data)
    assert [problem.path for problem in raised.value.problems] == [where]
    assert raised.value.no_effect


@pytest.mark.parametrize(
    "data",
    [object(), {"a": {1: object()}}, "\ud800", {"\ud800": 1}, [1j], OrderModel(total=1, note="\ud800")],
    ids=["object", "object inside", "surrogate", "surrogate name", "complex", "surrogate in a model"],
)
def test_data_that_is_not_json_is_refused(data: object) -> None:
    with pytest.raises(InvalidEventError) as raised:
        Event(type="t", key="k", data=data)
    assert [problem.path for problem in raised.value.problems] == ["data"]


def test_data_that_contains_itself_is_refused() -> None:
    data: list[object] = []
    data.append(data)
    with pytest.raises(InvalidEventError):
        Event(type="t", key="k", data=data)


def test_data_is_decoded_anew_so_that_nobody_changes_it_for_others() -> None:
    event = Event(type="t", key="k", data={"a": [1]})
    event.data["a"].append(2)
    assert event.data == {"a": [1]}


@pytest.mark.parametrize(
    "time",
    [
        datetime(2026, 11, 23),  # noqa: DTZ001  a naive time is what is tried
        "2026-11-23T09:47:32",
        "2026-11-23",
        "20261123T094732Z",
        "2026-W48-1T09:47:32Z",
        "2026-11-23T09:47Z",
        "2026-13-23T09:47:32Z",
        "today",
        "",
    ],
    ids=repr,
)
def test_a_time_that_is_no_rfc_3339_with_a_zone_is_refused(time: datetime | str) -> None:
    with pytest.raises(InvalidEventError) as raised:
        Event(type="t", key="k", time=time)
    assert [problem.path for problem in raised.value.problems] == ["time"]


@given(times)
def test_a_time_comes_back_to_the_microsecond(time: datetime) -> None:
    assert Event(type="t", key="k", time=time).time == time


def test_a_time_in_another_zone_and_a_finer_text_are_kept_to_the_letter() -> None:
    abroad = datetime(2026, 11, 23, 9, tzinfo=timezone(timedelta(hours=5)))
    assert Event(type="t", key="k", time=abroad).time_text == "2026-11-23T09:00:00+05:00"
    fine = "2026-11-23T09:47:32.123456789Z"
    event = Event(type="t", key="k", time=fine)
    assert event.time_text == fine
    assert event.time == datetime(2026, 11, 23, 9, 47, 32, 123456, UTC)


def test_the_letters_of_a_time_may_be_small() -> None:
    event = Event(type="t", key="k", time="2026-11-23t09:47:32z")
    assert event.time == datetime(2026, 11, 23, 9, 47, 32, tzinfo=UTC)


@pytest.mark.parametrize(
    "time", [datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC), datetime(1, 1, 1, tzinfo=UTC)]
)
def test_times_before_1970_are_times(time: datetime) -> None:
    assert isinstance(stored_time(time), int)
    assert Event(type="t", key="k", time=time).time == time


@given(events)
def test_an_event_that_may_be_published_is_not_refused(event: Event) -> None:
    check_event(id=event.id, type=event.type, key=event.key, source=event.source, headers=event.headers)


@pytest.mark.parametrize("key", ["k" * 1024, "é" * 512, "🦉" * 256, "k" * 256], ids=len)
def test_a_key_may_have_as_many_bytes_as_are_allowed(key: str) -> None:
    check_event(**attributes(key=key))


@pytest.mark.parametrize(
    "key", ["", "k" * 1025, "é" * 513, "🦉" * 257, "\ud800" * 300, None, 7, b"k"], ids=ascii
)
def test_any_other_key_is_refused(key: object) -> None:
    assert problems(key=key) == ["key"]


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("id", limits.ID_CHARACTERS_MAX),
        ("type", limits.TYPE_CHARACTERS_MAX),
        ("source", limits.SOURCE_CHARACTERS_MAX),
    ],
)
def test_texts_are_bounded_and_not_empty(name: str, most: int) -> None:
    check_event(**attributes(**{name: "x" * most}))
    for wrong in ("", "x" * (most + 1), None, 5):
        assert problems(**{name: wrong}) == [name]


@pytest.mark.parametrize("name", ["x", "traceparent", "a1b2", "1", "x" * 20])
def test_a_header_may_be_named_as_cloudevents_asks(name: str) -> None:
    check_event(**attributes(headers={name: "v"}))


@pytest.mark.parametrize(
    "name", ["", "X", "a-b", "a_b", "é", "x" * 21, "x\n", "id", "data", "partitionkey", "specversion", "time"]
)
def test_any_other_header_name_is_refused(name: str) -> None:
    assert problems(headers={name: "v"}) == [f"headers.{name}"]


@pytest.mark.parametrize("value", ["", "v" * 4096, 0, -(2**31), 2**31 - 1, True])
def test_a_header_holds_text_a_bool_or_a_32_bit_integer(value: object) -> None:
    check_event(**attributes(headers={"h": value}))


@pytest.mark.parametrize(
    "value", ["v" * 4097, 2**31, -(2**31) - 1, 1.5, None, b"v", ["v"]], ids=lambda v: repr(v)[:9]
)
def test_any_other_header_value_is_refused(value: object) -> None:
    assert problems(headers={"h": value}) == ["headers.h"]


def test_the_number_of_headers_is_bounded() -> None:
    names = [f"h{number}" for number in range(limits.HEADERS_MAX + 1)]
    assert problems(headers=dict.fromkeys(names, "v")) == ["headers"]
    check_event(**attributes(headers=dict.fromkeys(names[1:], "v")))


def test_all_that_is_wrong_is_reported_at_once() -> None:
    wrong = {"A": None, "ok": 1.5}
    assert problems(id="", type=None, key="", source="", headers=wrong) == [
        "id",
        "type",
        "source",
        "key",
        "headers.A",
        "headers.A",
        "headers.ok",
    ]


@pytest.mark.parametrize(
    "time",
    [
        True,
        0,
        1_700_000_000,
        2**70,
        1.5,
        datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=1, seconds=30))),
        "2026-01-01T00:00:00+00:00:30",
    ],
    ids=repr,
)
def test_a_time_that_nobody_could_read_back_is_refused(time: Any) -> None:
    for make in (stored_time, lambda value: Event(type="t", key="k", time=value)):
        with pytest.raises(InvalidEventError) as raised:
            make(time)
        assert [problem.path for problem in raised.value.problems] == ["time"]


BAD_JSON = [b"{not json", b"1e999", b'{"n": -1e999}', b'"\xff"', b"7" * 5_000, b"", b"[" * 100_000]


@pytest.mark.parametrize("text", BAD_JSON, ids=lambda text: repr(text[:12]))
def test_json_text_that_nobody_could_read_back_is_no_data(text: bytes) -> None:
    with pytest.raises(InvalidEventError) as raised:
        Event(type="t", key="k", data=msgspec.Raw(text))
    assert [problem.path for problem in raised.value.problems] == ["data"]


def test_json_text_that_is_good_is_data_as_it_stands() -> None:
    event = Event(type="t", key="k", data=msgspec.Raw(b'{"n": 1.10}'))
    assert (event.payload.content, event.data) == (b'{"n": 1.10}', {"n": 1.1})


def test_a_decimal_in_data_stays_a_number() -> None:
    event = Event(type="t", key="k", data={"price": Decimal("19.90"), "count": Decimal(3)})
    assert event.payload.content == b'{"count":3,"price":19.90}'
    assert event.data == {"price": 19.9, "count": 3}


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "sNaN"])
def test_a_decimal_that_json_does_not_have_or_nobody_could_read_back_is_refused(number: str) -> None:
    for data in (Decimal(number), {"price": [Decimal(number)]}):
        with pytest.raises(InvalidEventError):
            Event(type="t", key="k", data=data)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "E+", "null"])
def test_words_that_look_like_such_numbers_are_good_text(text: str) -> None:
    assert Event(type="t", key="k", data={text: [text, None]}).data == {text: [text, None]}
