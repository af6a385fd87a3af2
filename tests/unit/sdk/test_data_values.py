"""Whatever data is accepted is read back equal, by whoever reads it; all else is refused by what is wrong and where."""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from random import Random
from threading import Thread
from typing import Any
from uuid import UUID

import msgspec
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventfabric import Event, limits
from eventfabric.errors import EventFabricError, InvalidEventError
from eventfabric.model import check_depth, checked_json, encode_dicts, encode_json
from eventfabric.sdk.step import result_text
from eventfabric.sdk.wants import payload_decoder
from tests.support.outbox_producers import OutboxProducers

DEEPEST = limits.DATA_DEPTH_MAX


def refusal(data: object) -> str:
    with pytest.raises(InvalidEventError) as raised:
        encode_json(data)
    (problem,) = raised.value.problems
    return str(problem)


class Colour(Enum):
    RED = "red"


class Model(pydantic.BaseModel):
    of: Any


@dataclass
class Order:
    of: object


DOUBLED: list[dict[Any, object]] = [
    {1: "a", "1": "b"},
    {1.5: "a", "1.5": "b"},
    {Colour.RED: "a", "red": "b"},
    {date(2026, 11, 28): "a", "2026-11-28": "b"},
    {UUID(int=7): "a", str(UUID(int=7)): "b"},
    {b"x": "a", "eA==": "b"},
    {2**70: "a", str(2**70): "b"},
]


@pytest.mark.parametrize("doubled", DOUBLED, ids=repr)
@pytest.mark.parametrize(
    "around",
    [
        lambda d: d,
        lambda d: {"x": [1, d]},
        lambda d: (d,),
        Order,
        lambda d: [Order({"y": d})],
        lambda d: Model(of=d),
    ],
    ids=["itself", "nested", "tuple", "dataclass", "in a dataclass", "model"],
)
def test_two_names_that_are_one_in_json_are_refused(doubled: dict[Any, object], around: Any) -> None:
    if around(doubled).__class__ is Model and b"x" in doubled:
        return  # pydantic writes bytes as text, and no name is doubled
    assert "names that are" in refusal(around(doubled))
    assert encode_dicts([{"a": 1}, {"b": around(doubled)}]) is None


@pytest.mark.parametrize("name", [1, 1.5, UUID(int=7), date(2026, 11, 28), Colour.RED, 2**70], ids=repr)
def test_a_name_that_is_no_text_is_kept_as_its_text(name: object) -> None:
    (text,) = msgspec.json.decode(encode_json({name: [None, 1]}))
    assert isinstance(text, str)
    assert msgspec.json.decode(encode_json([{name: 1, "other": {"2": 2, 3: 3}}])) == [
        {text: 1, "other": {"2": 2, "3": 3}}
    ]


@pytest.mark.parametrize("data", [{Decimal("1.50"): 1}, [{"a": {Decimal(1): 1, "b": 2}}]], ids=repr)
def test_a_decimal_as_a_name_is_refused_and_not_written_as_a_number(data: object) -> None:
    assert refusal(data).startswith("data: found a name that is a Decimal")
    assert encode_dicts([{"of": data}]) is None


@pytest.mark.parametrize("name", [None, True, (1, 2), 1j, float("nan")], ids=repr)
def test_a_name_that_json_cannot_have_is_refused(name: object) -> None:
    if name is not name or isinstance(name, float):
        assert msgspec.json.decode(encode_json({name: 1})) == {"nan": 1}
    else:
        assert refusal({name: 1}).startswith("data: found dict (Only dicts with str-like or number-like keys")


def nested(depth: int, kind: str) -> Any:
    value: Any = 1 if kind != "empty" else []
    for _ in range(depth - (kind == "empty")):
        value = {"a": value} if kind == "objects" else {"a": [value]} if False else [value]
    return value


@pytest.mark.parametrize("kind", ["lists", "objects", "empty"])
def test_data_as_deep_as_it_may_be_is_read_by_everybody_and_deeper_is_refused(kind: str) -> None:
    for deep in (
        nested(DEEPEST, kind),
        {"a": nested(DEEPEST - 1, kind)},
        [1, nested(DEEPEST - 1, kind), "]"],
    ):
        text = encode_json(deep)
        assert json.loads(text) == msgspec.json.decode(text) == deep
        assert pydantic.TypeAdapter(Any).validate_json(text) == deep
        assert Model.model_validate_json(b'{"of":' + text + b"}").of == deep
        json.dumps(deep)
    for deeper in (
        nested(DEEPEST + 1, kind),
        nested(985, kind),
        nested(100_000, kind),
        Order(nested(DEEPEST, kind)),
    ):
        assert f"allowed: at most {DEEPEST} within one another" in refusal(deeper)
        assert encode_dicts([{"of": deeper}]) is None
    assert "nested deeper" in refusal(Model(of=nested(DEEPEST, kind)))
    cycle: list[object] = []
    cycle.append(cycle)
    assert "nested deeper" in refusal(cycle)


def test_a_handler_reads_the_deepest_data_from_far_down_its_own_stack() -> None:
    event = Event(type="t", key="k", data={"a": nested(DEEPEST - 1, "lists")})

    def down(frames: int) -> Any:
        return down(frames - 1) if frames else (event.data, payload_decoder(dict[str, Any])(event))

    read: list[Any] = []
    thread = Thread(target=lambda: read.append(down(500)))
    thread.start()
    thread.join()
    assert read[0][0] == read[0][1] == {"a": nested(DEEPEST - 1, "lists")}


def test_wide_data_is_not_deep_and_brackets_in_text_are_no_lists() -> None:
    wide = {"rows": [{"a": [n]} for n in range(1_000)], "text": '[{"' * 500 + "\\" + ']}"' * 3, "\\[": '"[['}
    assert msgspec.json.decode(encode_json(wide)) == wide
    for sly in (["]", nested(DEEPEST, "lists"), "["], {"[" * 200: 1}):
        text = msgspec.json.encode(sly)
        if isinstance(sly, list):
            with pytest.raises(InvalidEventError):
                checked_json(text)
        else:
            assert checked_json(text) == text


@pytest.mark.parametrize("pair", ['"]","["', '"}","{"', '"\\"]","["'], ids=["lists", "objects", "quotes"])
def test_text_cannot_hide_how_deep_data_is(pair: str) -> None:
    opened, closed = pair.split(",")
    text = (f"[{opened}," * (DEEPEST + 1) + "1" + f",{closed}]" * (DEEPEST + 1)).encode()
    with pytest.raises(InvalidEventError, match="nested deeper"):
        checked_json(text)


def depth_of(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth_of, inner), default=0)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(DEEPEST - 6, DEEPEST + 6))
def test_depth_is_counted_as_the_values_are_nested(seed: int, depth: int) -> None:
    random = Random(seed)
    value: Any = random.choice(["]", 1, None, '"'])
    for _ in range(depth):
        beside = [
            random.choice(["[", "]]", '\\"', "}{", [], {}, {"[": "\\"}, 1.5])
            for _ in range(random.randint(0, 2))
        ]
        value = [*beside, value] if random.random() < 0.5 else {"}": value, "x\\": beside}
    text = msgspec.json.encode(value)
    if depth_of(value) <= DEEPEST:
        check_depth(text)
        assert msgspec.json.decode(encode_json(value)) == value
    else:
        with pytest.raises(InvalidEventError):
            check_depth(text)


def test_a_steps_result_is_as_deep_as_data_may_be() -> None:
    assert result_text(nested(DEEPEST, "lists"))[1] == ""
    assert result_text(nested(DEEPEST + 1, "lists"))[1].endswith(f"{DEEPEST} deep")


@pytest.mark.parametrize(
    "text",
    [
        b"12345678901234567890123",
        b"1e-400",
        b"-0.0",
        b"1.10",
        b"1E5",
        b'{"b":1,\n "a":[ 2 ]}',
        b'"\\u00e9"',
        b"1.0",
        b'{"a":0.1234567890123456789}',
    ],
)
def test_json_text_is_kept_to_the_letter(text: bytes) -> None:
    producers = OutboxProducers()
    fabric, raw = producers.fabric(), msgspec.Raw(text)
    fabric.publish("orders", key="k", type="t", data=raw)
    fabric.publish_many("orders", [Event(type="t", key="k", data=raw)])
    fabric.publish("orders", key="k", type="t", id="once", data=raw, once=True)
    with fabric.transaction() as transaction:
        transaction.publish("orders", key="k", type="t", data=raw)
    with fabric.publisher("orders") as publisher:
        publisher.publish(key="k", type="t", data=raw)
        publisher.publish_all("t", [("k", raw), ("k", {"beside": raw})])
    contents = [event.payload.content for event in producers.events()]
    assert contents == [text] * 6 + [b'{"beside":' + text + b"}"]


def test_equal_values_have_equal_bytes_whatever_the_order_of_their_names() -> None:
    assert encode_json({"b": {"y": 1, "x": 2}, "a": {3, 1, 2}}) == b'{"a":[1,2,3],"b":{"x":2,"y":1}}'
    assert encode_dicts([{"b": 1, "a": 2}]) == [encode_json({"a": 2, "b": 1})] == [b'{"a":2,"b":1}']


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=9), inner, max_size=5),
    max_leaves=25,
)


@settings(max_examples=150, deadline=None)
@given(json_values)
def test_json_values_are_read_back_equal_by_every_reader(data: Any) -> None:
    event = Event(type="t", key="k", data=data)
    assert event.data == data
    if data is None:
        return
    text = event.payload.content
    assert json.loads(text) == pydantic.TypeAdapter(Any).validate_json(text) == data
    assert encode_dicts([{"of": data}, {}]) in ([encode_json({"of": data}), b"{}"], None)


anything: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(st.characters(), max_size=5),
        st.binary(max_size=5),
        st.decimals(),
        st.datetimes(),
        st.dates(),
        st.times(),
        st.timedeltas(),
        st.uuids(),
        st.complex_numbers(),
        st.sampled_from(
            [Colour.RED, object(), range(3), Ellipsis, int, bytearray(b"x"), memoryview(b"y"), Colour]
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.builds(Order, inner),
        st.dictionaries(
            st.one_of(
                st.text(max_size=2),
                st.integers(-9, 9),
                st.floats(),
                st.uuids(),
                st.dates(),
                st.booleans(),
                st.none(),
                st.sampled_from(["1", "-1", "2.0", 2.0, b"x", "eA==", Colour.RED, "red"]),
            ),
            inner,
            max_size=5,
        ),
    ),
    max_leaves=15,
)


@settings(max_examples=300, deadline=None)
@given(anything)
def test_any_value_is_refused_by_one_typed_error_or_can_be_read_and_holds_as_many_names(data: Any) -> None:
    try:
        event = Event(type="t", key="k", data=data)
    except EventFabricError as error:
        assert isinstance(error, InvalidEventError)
        assert all(problem.path.startswith("data") and problem.allowed for problem in error.problems)
        return
    read = event.data
    if isinstance(data, bytes | bytearray | memoryview):
        assert read == bytes(data)
    elif data is not None:
        assert names_in(read) == names_in(msgspec.to_builtins(data, enc_hook=str, str_keys=False))


def names_in(value: Any) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(names_in, value.values()))
    return sum(map(names_in, value)) if isinstance(value, list | tuple | set | frozenset) else 0


LEAP = "2016-12-31T23:59:60Z"


@pytest.mark.parametrize(
    "text",
    [
        LEAP,
        "2016-12-31t23:59:60.75z",
        "2017-01-01T00:59:60+01:00",
        "1990-12-31T15:59:60-08:00",
        "2012-06-30T23:59:60Z",
    ],
)
def test_a_leap_second_is_kept_to_the_letter_and_stands_behind_the_second_before_it(text: str) -> None:
    producers = OutboxProducers()
    producers.fabric().publish("orders", key="k", type="t", time=text)
    (event,) = producers.events()
    assert event.time_text == text
    assert event.time is not None
    assert (event.time.astimezone(UTC).minute, event.time.second, event.time.microsecond) == (59, 59, 999_999)
    next_second = event.time + timedelta(microseconds=1)
    assert (next_second.astimezone(UTC).day, next_second.astimezone(UTC).hour) == (1, 0)


def test_moments_around_a_leap_second_are_in_order() -> None:
    texts = ["2016-12-31T23:59:59Z", "2016-12-31T23:59:59.5Z", LEAP, "2017-01-01T00:00:00Z"]
    moments = [Event(type="t", key="k", time=text).time for text in texts]
    assert all(moment is not None for moment in moments)
    assert sorted(moments, key=lambda moment: moment or datetime.min.replace(tzinfo=UTC)) == moments
    assert len(set(moments)) == len(moments)


@pytest.mark.parametrize(
    "text",
    [
        "2016-12-31T23:58:60Z",
        "2016-12-30T23:59:60Z",
        "2016-12-31T22:59:60Z",
        "2017-01-01T00:59:60Z",
        "2016-12-31T23:59:61Z",
        "2016-12-31T24:00:00Z",
        "2016-12-31T12:00:00+24:00",
        "2016-12-31T12:00:00+05:60",
        "9999-12-31T23:59:60Z",
    ],
)
def test_a_time_that_there_never_is_is_refused(text: str) -> None:
    with pytest.raises(InvalidEventError, match="time: found"):
        Event(type="t", key="k", time=text)


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        ({"id": "\ud800"}, "id"),
        ({"type": "\udfff"}, "type"),
        ({"source": "/\ud800"}, "source"),
        ({"key": "\ud800"}, "key"),
        ({"headers": {"a": "x", "b": "\ud800"}}, "headers.b"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_text_that_has_no_utf_8_is_named_by_its_attribute(wrong: dict[str, Any], path: str) -> None:
    producers = OutboxProducers()
    with pytest.raises(InvalidEventError) as raised:
        producers.fabric().publish("orders", **{"key": "k", "type": "t", **wrong})
    assert [(problem.path, problem.found) for problem in raised.value.problems] == [
        (path, "a lone surrogate")
    ]
    assert producers.events() == []
