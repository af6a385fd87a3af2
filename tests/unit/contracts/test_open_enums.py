"""Open enums: values may join and leave under every compatibility, in whatever shape a class gives them."""

from itertools import permutations
from typing import Any, Optional, cast

import msgspec
import pytest

from eventfabric import OpenEnum
from eventfabric.contracts.differ import differences
from eventfabric.typed.classes import schema_of
from eventfabric.typed.walking import Schema


def orders_with(*values: str) -> Schema:
    """Make the schema of a class, which has to be made by code here: each has other values."""
    enum, lists, optional = (cast(Any, kind) for kind in (OpenEnum, list, Optional))
    status = enum("Status", {value.upper(): value for value in values})
    members: list[Any] = [("status", status), ("before", optional[status], None), ("all", lists[status], [])]
    return schema_of(msgspec.defstruct("Order", members))


@pytest.mark.parametrize(
    ("reader", "writer"),
    list(
        permutations([orders_with("placed"), orders_with("placed", "paid"), orders_with("gone", "lost")], 2)
    ),
)
def test_values_join_and_leave_in_both_directions(reader: Schema, writer: Schema) -> None:
    assert differences(reader, writer) == []


@pytest.mark.parametrize("kinds", ["string", ["string", "null"]])
def test_so_they_do_where_somebody_wrote_the_schema(kinds: object) -> None:
    def schema_with(*values: str) -> Schema:
        status = {"anyOf": [{"enum": list(values)}, {"type": kinds}]}
        return {"type": "object", "properties": {"status": status}}

    assert differences(schema_with("a", "b"), schema_with("a")) == []
    assert differences(schema_with("a"), schema_with("a", "b")) == []


def test_a_closed_enum_takes_no_value_that_its_readers_lack() -> None:
    closed: list[Schema] = [{"enum": ["a"]}, {"enum": ["a", "b"]}]
    assert differences(closed[1], closed[0]) == []
    assert differences(closed[0], closed[1]) != []
