"""Messages about data that is no JSON: where the problem is, what was found there, and what is allowed."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from eventfabric.errors import InvalidEventError, Problem
from eventfabric.model import Payload, encode_dicts, encode_json

NAN = float("nan")


@pytest.mark.parametrize(
    ("data", "path", "actual"),
    [
        ({"price": [Decimal(1), Decimal("NaN")]}, "data.price[1]", "Decimal('NaN')"),
        ({"price": Decimal("-Infinity")}, "data.price", "Decimal('-Infinity')"),
        ({"price": {"net": NAN}}, "data.price.net", "nan"),
        ([[None, float("-inf")]], "data[0][1]", "-inf"),
        (frozenset({NAN}), "data[0]", "nan"),
        ((1, {NAN}), "data[1][0]", "nan"),
    ],
    ids=repr,
)
def test_a_number_that_json_does_not_have_is_named_with_its_path(
    data: object, path: str, actual: str
) -> None:
    with pytest.raises(InvalidEventError) as raised:
        encode_json(data)
    assert raised.value.problems == (Problem(path, actual, "a finite number"),)


@pytest.mark.parametrize("data", [{"of": "NaN"}, ["Infinity"], {"E+": None}, "null"], ids=repr)
def test_text_that_only_looks_like_such_a_number_is_kept(data: object) -> None:
    assert Payload.of(data).decode() == data


@pytest.mark.parametrize("data", [object(), 1j, range(3)], ids=["object", "complex", "range"])
def test_what_is_no_json_at_all_is_named_by_its_type(data: object) -> None:
    with pytest.raises(InvalidEventError) as raised:
        encode_json(data)
    (problem,) = raised.value.problems
    assert (problem.path, problem.found.partition(" ")[0]) == ("data", type(data).__name__)


class ModelOfAnotherLibrary:
    """A type that encodes itself, like a pydantic model."""

    def __init__(self, values: Mapping[str, Any], text: str) -> None:
        self.values = values
        self.text = text

    def model_dump_json(self) -> str:
        return self.text

    def model_dump(self) -> Mapping[str, Any]:
        return self.values


def test_a_model_that_writes_null_for_a_number_that_json_does_not_have_is_refused() -> None:
    assert encode_json(ModelOfAnotherLibrary({"total": None}, '{"total":null}')) == b'{"total":null}'
    with pytest.raises(InvalidEventError) as raised:
        encode_json(ModelOfAnotherLibrary({"total": NAN}, '{"total":null}'))
    assert raised.value.problems == (Problem("data.total", "nan", "a finite number"),)


@pytest.mark.parametrize(
    "values",
    [
        [{}],
        [{"a": "ends\nof\r\nlines"}, {"b": "naïve – ☂"}],
        [{"a": None}, {"b": [None, {"c": 1.5}]}],
        [{"a": "null NaN Infinity E+"}, {"b": "N I +"}][1:],
        [{"a": Decimal("1.50")}, {"b": 2**70}],
    ],
    ids=repr,
)
def test_dicts_together_are_what_each_is_by_itself(values: list[dict[str, object]]) -> None:
    assert encode_dicts(values) == [encode_json(value) for value in values]


@pytest.mark.parametrize(
    "odd",
    [
        [1],
        "text",
        None,
        b"bytes",
        {"a": NAN},
        {"a": float("inf")},
        {"a": [{"b": NAN}]},
        {"a": Decimal("NaN")},
        {"a": Decimal("-Infinity")},
        {"a": Decimal("1E+400")},
        {"a": 1j},
        {"a": "\ud800"},
        {1j: 1},
    ],
    ids=repr,
)
def test_dicts_are_not_encoded_together_where_one_is_none_or_is_to_be_refused(odd: object) -> None:
    assert encode_dicts([{"a": 1}, odd, {"a": 2}]) is None


def test_dicts_are_not_encoded_together_where_text_looks_like_an_odd_number() -> None:
    """Whoever asks encodes them one by one then."""
    for text in ("NaN", "-Infinity", "1E+400"):
        assert encode_dicts([{"a": text}]) is None
        assert encode_json({"a": text}) == b'{"a":"%s"}' % text.encode()
