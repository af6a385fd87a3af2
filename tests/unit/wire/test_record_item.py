"""The record's item and its keys: there and back, and typed refusals."""

from typing import Any

import pytest
from hypothesis import given

from eventfabric.errors import UndecodableRecordError
from eventfabric.model import Record
from eventfabric.wire import keys, record_item
from tests.support.strategies import records

ATTRIBUTES = ["pk", "sk", "n", "c", "b", "h", "t", "d"]
TYPES = {
    "pk": "S",
    "sk": "N",
    "n": "N",
    "c": "B",
    "b": "B",
    "h": "N",
    "t": "SS",
    "d": "B",
    "x": "N",
    "m": "S",
}


def item() -> keys.Item:
    return {
        "pk": {"S": "us-east-1/0.7"},
        "sk": {"N": "5"},
        "n": {"N": "2"},
        "c": {"B": b"c" * 16},
        "b": {"B": b"b" * 16},
        "h": {"N": "9"},
        "t": {"SS": ["placed"]},
        "d": {"B": b"d"},
    }


@given(records)
def test_a_record_comes_back_from_its_item_as_it_was(record: Record) -> None:
    assert record_item.from_item(record_item.to_item(record)) == record


@given(records)
def test_an_item_has_the_attributes_of_the_catalogue_and_no_others(record: Record) -> None:
    made = record_item.to_item(record)
    assert {name: next(iter(value)) for name, value in made.items()} == {
        name: kind for name, kind in TYPES.items() if name in made
    }
    assert ("x" in made) == (record.expires_at is not None)
    assert ("m" in made) == (record.note is not None)
    assert {name: made[name] for name in ("pk", "sk")} == keys.record_key(record.lane, record.sequence)
    assert set(record_item.HEADER_ATTRIBUTES) == set(ATTRIBUTES) - {"d"} | {"x", "s"}


@pytest.mark.parametrize("attribute", ATTRIBUTES)
@pytest.mark.parametrize("wrong", [None, {}, {"NULL": True}, {"M": {}}], ids=str)
def test_an_item_with_an_attribute_missing_or_of_another_type_is_undecodable(
    attribute: str, wrong: dict[str, Any] | None
) -> None:
    damaged = item()
    del damaged[attribute]
    if wrong is not None:
        damaged[attribute] = wrong
    with pytest.raises(UndecodableRecordError):
        record_item.from_item(damaged)


@pytest.mark.parametrize(
    ("attribute", "wrong"),
    [
        ("pk", {"S": "us-east-1"}),
        ("pk", {"S": "us-east-1/0.x"}),
        ("pk", {"S": "/0.1"}),
        ("sk", {"N": "five"}),
        ("sk", {"N": "1.5"}),
        ("n", {"N": "0"}),
        ("n", {"N": "-1"}),
        ("h", {"N": ""}),
        ("x", {"N": "soon"}),
        ("m", {"S": "us-east-1/0.7"}),
        ("m", {"S": "us-east-1/7/9"}),
        ("m", {"N": "9"}),
    ],
)
def test_a_value_that_this_version_does_not_write_is_undecodable_and_the_error_says_where(
    attribute: str, wrong: dict[str, Any]
) -> None:
    with pytest.raises(UndecodableRecordError) as raised:
        record_item.from_item({**item(), attribute: wrong})
    if attribute not in ("pk", "sk"):
        assert (raised.value.lane, raised.value.sequence) == ("us-east-1/0.7", 5)
    assert not raised.value.retryable


def test_attributes_of_a_later_version_are_left_alone() -> None:
    assert record_item.from_item({**item(), "future": {"S": "?"}}) == record_item.from_item(item())


@pytest.mark.parametrize("sort_key", [{"N": "five"}, {"N": "1" * 20}, {}, {"S": "5"}])
def test_a_record_without_a_sequence_is_reported_at_none(sort_key: dict[str, str]) -> None:
    with pytest.raises(UndecodableRecordError) as raised:
        record_item.from_item({**item(), "sk": sort_key, "n": {"N": "0"}})
    assert raised.value.sequence == (5 if sort_key == {"S": "5"} else -1)
