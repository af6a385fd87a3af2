"""Checks by a folder's schemas: closed for who publishes, open for who is delivered to, each read once."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventfabric.contracts.checks import SchemaCheck
from eventfabric.contracts.document import read_schema
from eventfabric.contracts.identity import DATA_SCHEMA, SchemaIdentity
from eventfabric.errors import InvalidSchemaError
from tests.support.drawn_schemas import documents, schemas
from tests.support.schema_folders import PLACED, checks, written

IDENTITY = SchemaIdentity("orders", "placed", "a" * 22)
SECRET = "opensesame"


def check(schema: Any, *, is_closed: bool = True) -> SchemaCheck:
    return SchemaCheck(read_schema(json.dumps(schema), where="orders"), IDENTITY, is_closed=is_closed)


def accepts(schema: Any, value: object, *, is_closed: bool = True) -> bool:
    own, text = check(schema, is_closed=is_closed), json.dumps(value).encode()
    assert own.accepts_all([text, text]) is not bool(own.problems(text))
    return own.accepts_all([text])


@pytest.mark.parametrize(
    ("named", "is_kept"),
    [
        (IDENTITY._replace(digest="b" * 22), True),
        (IDENTITY, False),
        (SchemaIdentity("payments", "placed", "b" * 22), False),
        (SchemaIdentity("orders", "paid", "b" * 22), False),
        ("https://example.org/placed.json", False),
    ],
)
def test_another_version_that_is_kept_is_of_the_same_type_and_stream(named: object, is_kept: bool) -> None:
    own, headers = check(PLACED), {DATA_SCHEMA: str(named)}
    assert own.keeps_other_version(headers, headers) is is_kept
    for replaced in ({}, own.headers, {DATA_SCHEMA: str(IDENTITY._replace(digest="c" * 22))}):
        assert not own.keeps_other_version(headers, replaced)


def test_who_publishes_is_closed_and_who_reads_is_open() -> None:
    more = {"order": "A", "more": {"deep": 1}}
    assert not accepts(PLACED, more)
    assert accepts(PLACED, more, is_closed=False)
    for is_closed in (True, False):
        assert accepts(PLACED, {"order": "A"}, is_closed=is_closed)
        assert not accepts(PLACED, {}, is_closed=is_closed)


def test_what_only_the_closed_schema_accepts_is_refused() -> None:
    """Both branches match as they stand, so readers refuse it; closed, only one of them does."""
    branches = [{"properties": {"x": {"type": "object", "properties": {name: {}}}}} for name in "ab"]
    assert not accepts({"oneOf": branches}, {"x": {"a": 1}}, is_closed=False)
    assert not accepts({"oneOf": branches}, {"x": {"a": 1}})


def test_a_folder_is_asked_once_for_each_type(tmp_path: Path) -> None:
    own = checks(tmp_path, {"orders/placed": PLACED})
    placed, other = own.of("orders", "placed"), own.of("orders", "other")
    written(tmp_path, {"orders/placed": False, "orders/other": False})
    assert own.of("orders", "placed") is placed
    assert other is own.of("orders", "other") is None
    assert own.of("invoices", "placed") is None


def test_a_schema_that_cannot_be_used_is_named_by_its_file(tmp_path: Path) -> None:
    own = checks(tmp_path, {"orders/placed": {"$ref": "https://example.com/order.json"}})
    for _ in range(2):
        with pytest.raises(InvalidSchemaError) as refused:
            own.of("orders", "placed")
        assert refused.value.where.endswith("orders/placed.json")


def test_threads_may_share_the_checks(tmp_path: Path) -> None:
    own = checks(tmp_path, {f"orders/type{number}": PLACED for number in range(20)})
    texts = [b'{"order":"A"}'] * 50

    def run(number: int) -> bool:
        check = own.of("orders", f"type{number % 25}")
        return check is None or check.accepts_all(texts)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(run, range(200)))


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_every_schema_that_passes_the_lint_can_be_used_and_its_documents_fit(data: st.DataObject) -> None:
    schema = data.draw(schemas())
    value = data.draw(documents(schema, schema))
    assert accepts(schema, value)
    assert accepts(schema, value, is_closed=False)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=20, deadline=None)
@given(schema=schemas(), value=_JSON, name=st.sampled_from(["id", "class", SECRET]))
def test_no_problem_shows_what_the_data_holds(schema: Any, value: object, name: str) -> None:
    marked = {name: [SECRET, {SECRET: value}]}
    for own in (check(schema), check(schema, is_closed=False)):
        for problem in own.problems(json.dumps(marked).encode()):
            assert SECRET not in str(problem)


def test_of_types_a_bounded_number_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventfabric.contracts.checks._KNOWN_MAX", 3)
    own = checks(tmp_path, {"orders/placed": PLACED})
    placed = own.of("orders", "placed")
    for number in range(10):
        assert own.of("orders", f"T{number}") is None
    assert len(own._known) <= 3
    again = own.of("orders", "placed")
    assert placed is not None
    assert again is not None
    assert again.identity == placed.identity
