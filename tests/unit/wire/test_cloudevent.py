"""CloudEvents: there and back without loss, and one error with all that is wrong."""

import json
from io import BytesIO
from typing import Any

import msgspec
import pytest
from hypothesis import given

from eventfabric.errors import MalformedCloudEventError, SettingError
from eventfabric.model import Event
from eventfabric.sdk.cloudevents_file import read_cloudevents
from eventfabric.wire.cloudevent import (
    KeyRule,
    parse_cloudevent,
    raw_cloudevent,
)
from tests.support.messages import missing_from
from tests.support.strategies import events

MINIMAL: dict[str, Any] = {
    "specversion": "1.0",
    "id": "1",
    "source": "/s",
    "type": "placed",
    "partitionkey": "k",
}


def line(**changed: object) -> str:
    """A CloudEvent as JSON text; None leaves an attribute out."""
    values = {name: value for name, value in {**MINIMAL, **changed}.items() if value is not None}
    return msgspec.json.encode(values).decode()


def problems(text: str) -> list[str]:
    with pytest.raises(MalformedCloudEventError) as raised:
        parse_cloudevent(text, where="orders.jsonl:7")
    assert raised.value.where == "orders.jsonl:7"
    assert str(raised.value).startswith("orders.jsonl:7:")
    return [problem.path for problem in raised.value.problems]


def text_of(event: Event) -> bytes:
    return msgspec.json.encode(raw_cloudevent(event))


def same(event: Event, other: Event) -> None:
    for name in ("id", "type", "key", "source", "time", "time_text", "data"):
        assert getattr(event, name) == getattr(other, name)
    assert dict(event.headers) == dict(other.headers)
    assert [type(value) for value in event.headers.values()] == [
        type(value) for value in other.headers.values()
    ]


@given(events)
def test_an_event_comes_back_from_its_cloudevent_as_it_was(event: Event) -> None:
    same(parse_cloudevent(text_of(event)), event)


@given(events)
def test_a_cloudevent_that_was_read_is_written_as_it_was(event: Event) -> None:
    text = text_of(event)
    assert text_of(parse_cloudevent(text)) == text


def test_the_cloudevent_has_the_specs_own_names() -> None:
    event = Event(
        id="1",
        type="placed",
        key="k",
        data={"a": 1},
        time="2026-11-23T00:00:00Z",
        source="/s",
        headers={"traceparent": "00-1", "priority": 3},
    )
    assert json.loads(text_of(event)) == {
        "specversion": "1.0",
        "id": "1",
        "source": "/s",
        "type": "placed",
        "time": "2026-11-23T00:00:00Z",
        "partitionkey": "k",
        "traceparent": "00-1",
        "priority": 3,
        "data": {"a": 1},
    }


def test_binary_data_travels_as_base64() -> None:
    event = Event(id="1", type="placed", key="k", data=b"\x00\xff", source="/s")
    cloudevent = raw_cloudevent(event)
    assert cloudevent["data_base64"] == "AP8="
    assert "data" not in cloudevent
    assert parse_cloudevent(line(data_base64="AP8=")).data == b"\x00\xff"


def test_without_a_partitionkey_the_subject_is_the_key_and_stays_the_subject() -> None:
    event = parse_cloudevent(line(partitionkey=None, subject="order-1"))
    assert event.key == "order-1"
    assert event.headers == {"subject": "order-1"}


def test_a_partitionkey_goes_before_the_subject() -> None:
    assert parse_cloudevent(line(subject="other")).key == "k"


def test_data_is_kept_to_the_letter_of_its_json() -> None:
    text = line()[:-1] + ',"data": {"n": 1.10, "big": 12345678901234567890123} }'
    assert parse_cloudevent(text).payload.content == b'{"n": 1.10, "big": 12345678901234567890123}'


@pytest.mark.parametrize("data", ["", ',"data":null', ',"data" : null '])
def test_null_and_no_data_are_no_data(data: str) -> None:
    assert parse_cloudevent(line()[:-1] + data + "}").data is None


@pytest.mark.parametrize(
    "text", ["", "[]", "7", "{", '{"id":}', "\ud800", '{"data":{"a":NaN}}', "[" * 100_000], ids=ascii
)
def test_a_line_that_is_not_one_json_object_is_refused(text: str) -> None:
    assert problems(text) == ["line"]


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"specversion": None}, ["specversion"]),
        ({"specversion": "0.3"}, ["specversion"]),
        ({"id": None}, ["id"]),
        ({"source": None}, ["source"]),
        ({"type": ""}, ["type"]),
        ({"partitionkey": None}, ["partitionkey"]),
        ({"partitionkey": 7}, ["key"]),
        ({"partitionkey": ""}, ["key"]),
        ({"time": "yesterday"}, ["time"]),
        ({"time": 5}, ["time"]),
        ({"data": 1, "data_base64": "AP8="}, ["data_base64"]),
        ({"data_base64": "?"}, ["data_base64"]),
        ({"data_base64": "AP8"}, ["data_base64"]),
        ({"data_base64": 5}, ["data_base64"]),
        ({"Wrong": "v"}, ["headers.Wrong"]),
        ({"nested": {"a": 1}}, ["headers.nested"]),
        ({"number": 1.5}, ["headers.number"]),
    ],
    ids=str,
)
def test_each_mistake_is_reported_where_it_is(changed: dict[str, Any], where: list[str]) -> None:
    assert problems(line(**changed)) == where


def test_all_mistakes_of_a_line_are_reported_at_once() -> None:
    text = line(
        specversion=None, id=None, type="", partitionkey=None, time="yesterday", Wrong="v", data_base64="?"
    )
    assert problems(text) == [
        "specversion",
        "data_base64",
        "partitionkey",
        "time",
        "id",
        "type",
        "headers.Wrong",
    ]


@pytest.mark.parametrize(
    "data", [b"1e999", b'{"n":[1e999]}', b'"\xff"', b"7" * 5_000], ids=lambda data: repr(data[:12])
)
def test_data_that_nobody_could_read_back_is_a_mistake_of_the_line(data: bytes) -> None:
    text = line()[:-1].encode() + b',"data":' + data + b"}"
    with pytest.raises(MalformedCloudEventError) as raised:
        parse_cloudevent(text, where="orders.jsonl:7")
    assert [problem.path for problem in raised.value.problems] == ["data"]
    (event,) = read_cloudevents(BytesIO(text + b"\n"), name="orders.jsonl")
    assert str(event[1]).startswith("orders.jsonl:1: data: found ")


BARE: dict[str, Any] = {"specversion": "1.0", "id": "e1", "source": "/s", "type": "t"}


@pytest.mark.parametrize(
    ("rule", "line", "key"),
    [
        ("subject", {"subject": "s-1", "partitionkey": "p-1"}, "s-1"),
        ("id", {"subject": "s-1"}, "e1"),
        ("source", {}, "/s"),
        ("/customer", {"data": {"customer": "c-1"}}, "c-1"),
        ("/order/lines/1/sku", {"data": {"order": {"lines": [{}, {"sku": "x"}]}}}, "x"),
        ("/a~1b/~0", {"data": {"a/b": {"~": "x"}}}, "x"),
        ("/", {"data": {"": "x"}}, "x"),
        ("/number", {"data": {"number": 12345678901234567890123}}, "12345678901234567890123"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_rule_says_where_the_key_stands(rule: str, line: dict[str, Any], key: str) -> None:
    parsed = KeyRule.parse(rule)
    assert str(parsed) == rule
    text = json.dumps({**BARE, **line})
    assert parse_cloudevent(text, key_rule=parsed).key == key
    ((_, event),) = read_cloudevents(BytesIO(text.encode()), name="f", key_rule=parsed)
    assert isinstance(event, Event)
    assert event.key == key


@pytest.mark.parametrize(
    ("rule", "line", "path", "actual"),
    [
        ("subject", {"partitionkey": "p"}, "subject", "nothing"),
        ("subject", {"subject": 5}, "subject", "5"),
        ("/a", {}, "data/a", "no JSON data"),
        ("/a", {"data_base64": "eA=="}, "data/a", "no JSON data"),
        ("/a", {"data": {"b": 1}}, "data/a", "nothing"),
        ("/a/0", {"data": {"a": []}}, "data/a/0", "nothing"),
        ("/a/-1", {"data": {"a": ["x"]}}, "data/a/-1", "nothing"),
        ("/a/b", {"data": {"a": "text"}}, "data/a/b", "nothing"),
        ("/a", {"data": {"a": 1.5}}, "data/a", "1.5"),
        ("/a", {"data": {"a": True}}, "data/a", "True"),
        ("/a", {"data": {"a": None}}, "data/a", "None"),
        ("/a", {"data": {"a": {"b": 1}}}, "data/a", "{'b': 1}"),
        ("/a", {"data": {"a": ""}}, "key", "0 bytes"),
        ("/a", {"data": {"a": "x" * 1025}}, "key", "1025 bytes"),
    ],
)
def test_a_line_without_a_key_at_that_place_is_refused_by_the_place(
    rule: str, line: dict[str, Any], path: str, actual: str
) -> None:
    with pytest.raises(MalformedCloudEventError) as raised:
        parse_cloudevent(json.dumps({**BARE, **line}), where="f:1", key_rule=KeyRule.parse(rule))
    (problem,) = raised.value.problems
    assert (raised.value.where, problem.path, problem.found) == ("f:1", path, actual)
    assert missing_from(str(raised.value), "f:1", path, actual) == []


@pytest.mark.parametrize("text", ["", "type", "data", "a/b", "/~2", "/~", "/" + "x" * 2000, "Subject"])
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match=r"subject, id, source.* JSON pointer") as raised:
        KeyRule.parse(text)
    assert repr(text)[:40] in str(raised.value) or text[:40] in str(raised.value)


@pytest.mark.parametrize("data", [b"12345678901234567890123", b'{"b":1e-400,"a":[ 1.10 ]}', b"1E5"])
def test_a_cloudevent_goes_in_and_out_with_its_data_to_the_letter(data: bytes) -> None:
    line = b'{"specversion":"1.0","id":"1","source":"/s","type":"t","partitionkey":"k","data":' + data + b"}"
    assert msgspec.json.encode(raw_cloudevent(parse_cloudevent(line))) == line


def test_data_that_is_null_is_none_and_may_stand_beside_binary_data() -> None:
    for data in ("null", " null "):
        text = line(data_base64="aGk=")[:-1] + f',"data":{data}}}'
        assert parse_cloudevent(text).data == b"hi"
    with pytest.raises(MalformedCloudEventError, match="one of data and data_base64"):
        parse_cloudevent(line(data=0, data_base64="aGk="))
